"""Draws a schedule onto disk: every request of a run with its arrival and its body."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.prompts.base import PromptSource
from benchmarks.schedule.bodies import BodyWriter
from benchmarks.schedule.plan import Plan, plan
from benchmarks.schedule.planned import PlannedRequest, Schedule, write_schedule
from benchmarks.schedule.sessions import Prompt
from configs.workload import LoadRequest, Workload


def draw(
    workload: Workload, model: str, prompts: PromptSource, folder: Path, *, can_hold_length: bool = True
) -> Schedule:
    """The workload's schedule, written to `folder`; the same to the bit for the same arguments.

    Args:
        model: what requests ask for unless the workload says otherwise.
        prompts: whatever their seed; they are seeded with the workload's.
        can_hold_length: whether the server takes `ignore_eos` and `min_tokens`.

    Raises:
        BadTrace: the trace is broken.
        BenchmarkError: no request or too many, a length that cannot be drawn, no texts, no room on disk.
    """
    planned = plan(workload)
    seeded = prompts.seeded(workload.seed)
    bodies = _with_bodies(workload, model, seeded, planned, can_hold_length=can_hold_length)
    try:
        return write_schedule(folder, bodies, planned.duration_s)
    except OSError as exc:
        raise BenchmarkError(f"the schedule cannot be written to {folder}: {exc.strerror or exc}") from exc


def _with_bodies(
    workload: Workload, model: str, prompts: PromptSource, planned: Plan, *, can_hold_length: bool
) -> Iterator[tuple[PlannedRequest, bytes]]:
    writers = [BodyWriter(request, model, can_hold_length=can_hold_length) for request in workload.requests]
    for request, wanted in planned.drafts:
        entry = workload.requests[request.entry]
        texts = [_text(prompt, entry, prompts) for prompt in wanted]
        if request.turn > 0:  # the client adds it to the conversation
            yield request, texts[0].encode()
        else:
            yield request, writers[request.entry].write(texts, request.num_output_tokens)


def _text(prompt: Prompt, entry: LoadRequest, prompts: PromptSource) -> str:
    if prompt.text_number is None:
        return prompts.compose(prompt.parts)
    assert entry.texts is not None
    fixed = prompts.fixed(Path(entry.texts).expanduser(), prompt.text_number)
    return f"{prompts.compose(prompt.parts)}\n\n{fixed}" if prompt.parts else fixed
