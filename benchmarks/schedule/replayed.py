"""The requests of a trace, with prompts that share what the trace says they share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.schedule.planned import PlannedRequest
from benchmarks.schedule.sessions import Draft, Prompt
from benchmarks.schedule.streams import stream
from benchmarks.traces.base import Blocks, TraceRequest
from configs.workload import LoadRequest

Parts = tuple[tuple[str, int], ...]


def replayed(requests: Sequence[TraceRequest], entry: LoadRequest, seed: int) -> Iterator[Draft]:
    """A draft for each request of a trace. All have an arrival, so each is a session of its own."""
    abandon = entry.abandon
    leaves = stream(seed, f"leaving:{entry.label}").random(len(requests))
    conversations = _Conversations()
    for index, request in enumerate(requests):
        is_left = abandon is not None and leaves[index] < abandon.fraction
        planned = PlannedRequest(
            index=index,
            entry=0,
            body_offset=0,
            body_bytes=0,
            at_s=request.at_s,
            session=index,
            num_prompt_tokens=request.num_prompt_tokens,
            num_output_tokens=request.num_output_tokens,
            abandon_after_s=abandon.after_s if abandon is not None and is_left else None,
        )
        if request.blocks is not None:
            parts = _block_parts(request.blocks, request.num_prompt_tokens)
        elif request.session is not None:
            parts = conversations.next(request.session, request.num_prompt_tokens)
        else:
            parts = ((f"request:{entry.label}:{index}:0:0", request.num_prompt_tokens),)
        yield Draft(planned, (Prompt(parts),))


def _block_parts(blocks: Blocks, num_tokens: int) -> Parts:
    """The same id is the same key, so the same text; the last block has the rest of the prompt."""
    *full, last = blocks.ids
    rest = num_tokens - len(full) * blocks.size
    return (*((f"block:{block}", blocks.size) for block in full), (f"block:{last}", rest))


class _Conversations:
    """Prompts that grow: each begins with the whole parts of the one before it that fit."""

    def __init__(self) -> None:
        self._latest: dict[str, Parts] = {}  # session -> parts of its latest prompt
        self._num_parts = 0

    def next(self, session: str, num_tokens: int) -> Parts:
        kept: list[tuple[str, int]] = []
        left = num_tokens
        for part in self._latest.get(session, ()):
            if part[1] > left:
                break
            kept.append(part)
            left -= part[1]
        if left:
            kept.append((f"session:{session}:{self._num_parts}", left))
            self._num_parts += 1
        parts = tuple(kept)
        self._latest[session] = parts
        return parts
