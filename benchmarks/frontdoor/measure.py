"""One closed loop against one address, and what it comes to.

A closed loop, as in benchmarks/overhead: two servers are compared at the same number of callers. What counts is when
an answer can be read (the first token of a stream, the end of a document), less the time that the engine takes for
it by its own pace. Answers differ in length: with answers of one length all callers would go on at the same moment
for ever, and each would wait behind all the others' cost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cpu import CpuPerRequest
from benchmarks.errors import BenchmarkError
from benchmarks.overhead.pace import Pace
from benchmarks.prompts.generated import prepare_prompts
from benchmarks.records import Outcome, Record
from benchmarks.run.execute import Prepared, Run, RunOptions, execute
from benchmarks.target import Target
from configs.workload import ChatRequest, ClosedLoop, UniformLength, Workload

PROMPT_TOKENS = 32
SHORTEST, LONGEST = 0.5, 1.5  # answers, of the pace's own length
_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Load:
    """A closed loop.

    Args:
        duration_s: in which requests leave, the warm-up with it.
    """

    num_callers: int
    is_stream: bool
    duration_s: float
    warm_up_s: float

    @property
    def kind(self) -> str:
        return "stream" if self.is_stream else "json"


@dataclass(frozen=True, slots=True)
class Subject:
    """A server on this machine.

    Args:
        process_id: the first of the processes whose CPU time is counted.
    """

    target: Target
    process_id: int


@dataclass(frozen=True, slots=True)
class Measured:
    """One run's figures, of the requests that left after the warm-up.

    Args:
        answer_ms: percentile -> milliseconds until the answer can be read, without the engine's own.
        whole_ms: until its end.
        cpu_ms: kind of process -> milliseconds of CPU for each request.
        reasons: why the client's figures may not be believed; empty if they may.
    """

    requests_per_s: float
    answer_ms: dict[str, float]
    whole_ms: dict[str, float]
    num_failed: int
    cpu_ms: dict[str, float]
    reasons: tuple[str, ...]
    raw: dict[str, Any] = field(repr=False)


def measure(
    subject: Subject,
    load: Load,
    pace: Pace,
    seed: int,
    folder: Path,
    texts: Path | None = None,
    *,
    is_computed: bool = True,
) -> Measured:
    """Make the run; `folder` holds it afterwards.

    Args:
        pace: of the engine.
        is_computed: the engine makes the answers; False: they come from a cache, and all of their time counts.
        texts: file with what is asked, in turn; None: no question is asked twice.

    Raises:
        BenchmarkError: nothing was answered.
        KeyboardInterrupt: the run was interrupted.
    """
    prompts = prepare_prompts(seed, (), why="nobody needs an exact length")
    prepared = Prepared(subject.target, prompts, can_hold_length=False)
    cpu = CpuPerRequest(subject.process_id, load.warm_up_s, load.duration_s)
    options = RunOptions(num_workers=1, keep_token_times=False, on_progress=cpu.look)
    run = execute(workload_of(load, pace, seed, texts), prepared, folder, options)
    if run.was_interrupted:
        raise KeyboardInterrupt
    return measured_of(run, pace if is_computed else None, cpu.per_request_ms())


def workload_of(load: Load, pace: Pace, seed: int, texts: Path | None = None) -> Workload:
    """What is asked: the same for the same seed. A text that is given is asked as it is, with one length of answer."""
    lengths = UniformLength(
        distribution="uniform",
        low=max(1, round(SHORTEST * pace.num_tokens)),
        high=round(LONGEST * pace.num_tokens),
    )
    request = ChatRequest(
        kind="chat",
        prompt_tokens=None if texts is not None else PROMPT_TOKENS,
        texts=None if texts is None else str(texts),
        output_tokens=lengths if texts is None else pace.num_tokens,
        stream=load.is_stream,
        hold_output_length=False,
    )
    return Workload(
        name=f"frontdoor-{load.num_callers}-{load.kind}",
        seed=seed,
        duration_s=load.duration_s,
        warm_up_s=load.warm_up_s,
        timeout_s=_TIMEOUT_S,
        arrivals=ClosedLoop(process="closed", concurrency=load.num_callers),
        requests=(request,),
    )


def measured_of(run: Run, pace: Pace | None, cpu_ms: dict[str, float]) -> Measured:
    """The figures of a finished run.

    Args:
        pace: of the engine that made the answers; None: none did.

    Raises:
        BenchmarkError: nothing was answered.
    """
    window = run.summary.window
    records = [
        record
        for record in run.records
        if window.start_s * 1e9 <= record.intended_ns < window.end_s * 1e9
        and record.outcome is not Outcome.INTERRUPTED
    ]
    answered = [record for record in records if record.outcome is Outcome.OK]
    if not answered:
        why = next((record.detail for record in run.records if record.detail), "no request ended")
        raise BenchmarkError(f"{run.workload.name}: nothing was answered: {why}")
    return Measured(
        requests_per_s=round(len(answered) / (window.end_s - window.start_s), 3),
        answer_ms=_percentiles([answer_us(record, pace) for record in answered]),
        whole_ms=_percentiles([whole_us(record) for record in answered]),
        num_failed=len(records) - len(answered),
        cpu_ms=cpu_ms,
        reasons=run.summary.certification.reasons,
        raw={
            "answer_us": [answer_us(record, pace) for record in answered],
            "whole_us": [whole_us(record) for record in answered],
            "failures": dict(Counter(r.outcome for r in records if r.outcome is not Outcome.OK)),
        },
    )


def answer_us(record: Record, pace: Pace | None) -> int:
    """From when it was asked until the answer can be read, less what the engine takes by its pace for that."""
    if record.is_stream and record.first_token_ns is not None:
        return (record.first_token_ns - record.intended_ns) // 1000 - (_first_us(pace) if pace else 0)
    return whole_us(record) - (_whole_us(pace, record) if pace else 0)


def _first_us(pace: Pace) -> int:
    return round(pace.ttft_ms * 1e3)


def _whole_us(pace: Pace, record: Record) -> int:
    num_tokens = record.num_output_tokens or record.num_planned_output_tokens or pace.num_tokens
    return round((pace.ttft_ms + (num_tokens - 1) * pace.tpot_ms) * 1e3)


def whole_us(record: Record) -> int:
    return (record.end_ns - record.intended_ns) // 1000


def _percentiles(values_us: Sequence[int]) -> dict[str, float]:
    p50, p99 = np.quantile(values_us, (0.5, 0.99)) / 1e3
    return {"p50": round(float(p50), 3), "p99": round(float(p99), 3)}
