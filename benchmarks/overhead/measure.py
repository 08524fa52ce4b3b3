"""One closed loop against one server, and what it comes to.

A closed loop, because the bars compare capacity and what streams look like at it; its latencies are not what users
of an open service see. The gap between tokens (itl) is as in benchmarks/metrics/itl.py: by the arrival of each
token at the client, 0 for tokens that came in one read. Joined tokens therefore hide in itl's lower percentiles,
so the pauses between arrivals, which no zeros thin out, stand beside it.
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
from benchmarks.statistics.samples import sample_percentiles
from benchmarks.summary.window import MeasuredWindow
from benchmarks.target import Target
from configs.workload import ChatRequest, ClosedLoop, Workload

# Small talk, which an agent answers without a search: the path is measured, not the retrieval.
_PROMPT = "hello"
_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Load:
    """A closed loop.

    Args:
        duration_s: in which requests leave, the warm-up with it.
        holds_length: ask a model for exactly so many tokens; the mock makes no others.
    """

    num_callers: int
    duration_s: float
    warm_up_s: float
    holds_length: bool = False


@dataclass(frozen=True, slots=True)
class Subject:
    """A server that runs on this machine."""

    url: str
    model: str
    process_id: int


@dataclass(frozen=True, slots=True)
class Measured:
    """One run's figures; None where they are not defined.

    Args:
        requests_per_s: that were answered, after the warm-up.
        output_tokens_per_s: of answers, by the server's own count.
        ttft_ms, itl_ms, pause_ms: percentile ("p50", "p99") -> milliseconds.
        tokens_per_arrival: how many tokens came in one read, in the mean.
        cpu_ms: kind of process -> milliseconds of CPU for each request.
        reasons: why the client's figures may not be believed; empty if they may.
    """

    requests_per_s: float | None
    output_tokens_per_s: float | None
    ttft_ms: dict[str, float | None]
    itl_ms: dict[str, float | None]
    pause_ms: dict[str, float | None]
    tokens_per_arrival: float | None
    num_failed: int
    cpu_ms: dict[str, float]
    client: dict[str, Any]
    reasons: tuple[str, ...]
    raw: dict[str, Any] = field(repr=False)


def measure(subject: Subject, load: Load, pace: Pace, seed: int, folder: Path) -> Measured:
    """Make the run; `folder` holds it afterwards.

    Raises:
        BenchmarkError: nothing was measured.
        KeyboardInterrupt: the run was interrupted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    prompt = folder / "prompt.txt"
    prompt.write_text(_PROMPT + "\n", encoding="utf-8")
    workload = workload_of(load, pace, seed, prompt)
    prompts = prepare_prompts(seed, (), why="every prompt is the same")
    prepared = Prepared(Target(subject.url, subject.model), prompts, can_hold_length=load.holds_length)
    cpu = CpuPerRequest(subject.process_id, load.warm_up_s, load.duration_s)
    run = execute(workload, prepared, folder, RunOptions(num_workers=1, on_progress=cpu.look))
    if run.was_interrupted:
        raise KeyboardInterrupt
    return measured_of(run, cpu.per_request_ms())


def workload_of(load: Load, pace: Pace, seed: int, prompt: Path) -> Workload:
    """What is asked, of every server alike."""
    request = ChatRequest(
        kind="chat", texts=str(prompt), output_tokens=pace.num_tokens, hold_output_length=load.holds_length
    )
    return Workload(
        name=f"overhead-{load.num_callers}",
        seed=seed,
        duration_s=load.duration_s,
        warm_up_s=load.warm_up_s,
        timeout_s=_TIMEOUT_S,
        arrivals=ClosedLoop(process="closed", concurrency=load.num_callers),
        requests=(request,),
    )


def measured_of(run: Run, cpu_ms: dict[str, float]) -> Measured:
    """The figures of a finished run.

    Raises:
        BenchmarkError: nothing was answered.
    """
    summary = run.summary
    records = _in_window(run.records, summary.window)
    answered = [record for record in records if record.outcome is Outcome.OK]
    if not answered:
        why = next((record.detail for record in run.records if record.detail), "no request ended")
        raise BenchmarkError(f"{run.workload.name}: nothing was answered: {why}")
    gaps_ms = np.asarray([gap for record in answered for gap in record.gaps_us], dtype=np.float64) / 1e3
    client = summary.certification.client
    return Measured(
        requests_per_s=summary.value("completed_rate"),
        output_tokens_per_s=summary.value("output_throughput"),
        ttft_ms={name: summary.percentile("ttft", name) for name in ("p50", "p99")},
        itl_ms={name: summary.percentile("itl", name) for name in ("p50", "p99")},
        pause_ms=sample_percentiles(gaps_ms[gaps_ms > 0], (50, 99)),
        tokens_per_arrival=_tokens_per_arrival(answered),
        num_failed=len(records) - len(answered),
        cpu_ms=cpu_ms,
        client={"cpu_max": client.cpu_max, "lag_p99_ms": client.lag_p99_ms, "lag_max_ms": client.lag_max_ms},
        reasons=summary.certification.reasons,
        raw=_raw(records, gaps_ms),
    )


def _in_window(records: Sequence[Record], window: MeasuredWindow) -> list[Record]:
    return [
        record
        for record in records
        if window.start_s * 1e9 <= record.intended_ns < window.end_s * 1e9
        and record.outcome is not Outcome.INTERRUPTED
    ]


def _tokens_per_arrival(answered: Sequence[Record]) -> float | None:
    num_pieces = sum(record.num_pieces for record in answered)
    num_arrivals = sum(1 + sum(gap > 0 for gap in record.gaps_us) for record in answered if record.num_pieces)
    return round(num_pieces / num_arrivals, 3) if num_arrivals else None


def _raw(records: Sequence[Record], gaps_ms: np.typing.NDArray[np.float64]) -> dict[str, Any]:
    """Every request in microseconds, and every gap, counted in tenths of a millisecond."""
    tenths = Counter(np.round(gaps_ms * 10).astype(int).tolist())
    return {
        "intended_us": [record.intended_ns // 1000 for record in records],
        "ttft_us": [_since(record.first_token_ns, record) for record in records],
        "e2e_us": [_since(record.end_ns, record) for record in records],
        "gap_max_us": [max(record.gaps_us, default=None) for record in records],
        "failures": dict(Counter(r.outcome for r in records if r.outcome is not Outcome.OK)),
        "gaps_tenths_of_ms": {str(gap): num for gap, num in sorted(tenths.items())},
    }


def _since(at_ns: int | None, record: Record) -> int | None:
    return None if at_ns is None else (at_ns - record.intended_ns) // 1000
