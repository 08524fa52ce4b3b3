"""One case against one application, and what it comes to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.affinity.cases import Case, workload_of
from benchmarks.errors import BenchmarkError
from benchmarks.records import Outcome, Record
from benchmarks.run.execute import Prepared, Run, RunOptions, execute
from benchmarks.statistics.samples import sample_percentiles

_PERCENTS = (50, 95)


@dataclass(frozen=True, slots=True)
class Measured:
    """One job's figures.

    Args:
        seconds: from the first request to the end of the last answer.
        ttft_ms, e2e_ms: percentile ("p50", "p95") -> milliseconds.
        cached_share: of the tokens of all prompts, those that the engine had kept from earlier ones.
        num_failed: requests without an answer.
        reasons: why the client's figures may not be believed; empty if they may.
    """

    seconds: float
    output_tokens_per_s: float
    ttft_ms: dict[str, float | None]
    e2e_ms: dict[str, float | None]
    cached_share: float
    num_failed: int
    reasons: tuple[str, ...]
    raw: dict[str, Any] = field(repr=False)

    def record(self) -> dict[str, Any]:
        return asdict(self)


def measure(case: Case, prepared: Prepared, seed: int, folder: Path) -> Measured:
    """Do the job.

    Raises:
        BenchmarkError: nothing was answered.
        KeyboardInterrupt: the run was interrupted.
    """
    run = execute(workload_of(case, seed), prepared, folder, RunOptions(num_workers=1))
    if run.was_interrupted:
        raise KeyboardInterrupt
    return measured_of(run, case)


def measured_of(run: Run, case: Case) -> Measured:
    """The figures of a finished job.

    Raises:
        BenchmarkError: nothing was answered.
    """
    records = run.records
    answered = [record for record in records if record.outcome is Outcome.OK]
    if not answered:
        why = next((record.detail for record in records if record.detail), "no request ended")
        raise BenchmarkError(f"{case.name}: nothing was answered: {why}")
    seconds = (max(r.end_ns for r in records) - min(r.intended_ns for r in records)) / 1e9
    num_tokens = sum(record.num_output_tokens or 0 for record in answered)
    return Measured(
        seconds=round(seconds, 4),
        output_tokens_per_s=round(num_tokens / seconds, 3),
        ttft_ms=sample_percentiles([ms for one in answered if (ms := _ttft_ms(one)) is not None], _PERCENTS),
        e2e_ms=sample_percentiles([(one.end_ns - one.intended_ns) / 1e6 for one in answered], _PERCENTS),
        cached_share=_cached_share(answered),
        num_failed=case.num_requests - len(answered),
        reasons=run.summary.certification.reasons,
        raw=_raw(records),
    )


def _ttft_ms(record: Record) -> float | None:
    return None if record.first_token_ns is None else (record.first_token_ns - record.intended_ns) / 1e6


def _cached_share(answered: Sequence[Record]) -> float:
    num_tokens = sum(record.num_prompt_tokens or 0 for record in answered)
    num_cached = sum(record.num_cached_tokens or 0 for record in answered)
    return round(num_cached / num_tokens, 4) if num_tokens else 0.0


def _raw(records: Sequence[Record]) -> dict[str, Any]:
    return {
        "session": [record.session for record in records],
        "turn": [record.turn for record in records],
        "intended_us": [record.intended_ns // 1000 for record in records],
        "ttft_ms": [_ttft_ms(record) for record in records],
        "e2e_us": [(record.end_ns - record.intended_ns) // 1000 for record in records],
        "num_prompt_tokens": [record.num_prompt_tokens for record in records],
        "num_cached_tokens": [record.num_cached_tokens for record in records],
        "num_output_tokens": [record.num_output_tokens for record in records],
        "failures": dict(Counter(r.outcome for r in records if r.outcome is not Outcome.OK)),
    }
