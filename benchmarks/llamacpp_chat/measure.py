"""One case against one server, and what it comes to.

All requests of a case are one job: a closed loop of its callers sends them, and the job is over with the last answer.
So tokens per second have the start in them, when all prompts come at once, and the end, when callers have gone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from benchmarks.application import Started
from benchmarks.cpu import CpuWatch, used_between
from benchmarks.errors import BadTarget, BenchmarkError
from benchmarks.llamacpp_chat.cases import Case
from benchmarks.llamacpp_chat.prompts import prompts_of, write_prompts
from benchmarks.llamacpp_chat.settings import MODEL, TIMEOUT_S
from benchmarks.prompts.generated import prepare_prompts
from benchmarks.records import Outcome, Record
from benchmarks.run.execute import Prepared, Run, RunOptions, execute
from benchmarks.statistics.samples import sample_percentiles
from benchmarks.target import Target
from configs.workload import ClosedLoop, CompletionRequest, Workload

_MAX_JOB_S = 3600.0
_PERCENTS = (50, 95)
_NUM_WARM_UP_TOKENS = 8
# A server that ends texts early, or joins tokens, is not measured by the tokens that it was asked for.
_MIN_LENGTH_SHARE = 0.98


@dataclass(frozen=True, slots=True)
class Measured:
    """One job's figures; None where they are not defined.

    Args:
        tokens_per_s: output tokens, from the first request to the end of the last answer.
        ttft_ms, itl_ms, e2e_ms: percentile ("p50", "p95") -> milliseconds; itl is 0 for tokens that came in one read.
        read_ratio: prompt tokens that were computed, of the least that there are to compute; None: the server does
            not say.
        cpu_s: kind of process -> CPU seconds of the server's processes.
        num_failed: requests without a whole answer, by its length too.
        reasons: why the client's figures may not be believed; empty if they may.
    """

    tokens_per_s: float
    seconds: float
    num_requests: int
    num_failed: int
    num_output_tokens: int
    ttft_ms: dict[str, float | None]
    itl_ms: dict[str, float | None]
    e2e_ms: dict[str, float | None]
    read_ratio: float | None
    cpu_s: dict[str, float]
    reasons: tuple[str, ...]
    raw: dict[str, Any] = field(repr=False)


def measure(
    server: Started, case: Case, sampling: dict[str, object], num_words: int, seed: int, folder: Path
) -> Measured:
    """Do the job; `folder` holds the run afterwards.

    Args:
        sampling: fields of every request.
        num_words: of the model's vocabulary.
        seed: of the prompts.

    Raises:
        BadTarget: the server counts other tokens than were planned.
        BenchmarkError: nothing was answered.
        KeyboardInterrupt: the run was interrupted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    warm_up(server, case, sampling, num_words, seed)
    prompts = write_prompts(folder / "prompts.jsonl", prompts_of(case, num_words, seed))
    source = prepare_prompts(seed, (), why="prompts are the benchmark's own")
    prepared = Prepared(Target(server.url, MODEL), source, can_hold_length=False)
    watch = CpuWatch(server.process_id)
    before = watch.read()
    options = RunOptions(num_workers=1, sends_request_ids=False)  # llama-cpp-python's server wants UUIDs
    run = execute(workload_of(case, sampling, seed, prompts), prepared, folder, options)
    cpu_s = used_between(before, watch.read())
    if run.was_interrupted:
        raise KeyboardInterrupt
    return measured_of(run, case, cpu_s)


def warm_up(server: Started, case: Case, sampling: dict[str, object], num_words: int, seed: int) -> None:
    """One short answer to a prompt of the case's length, of another seed: memory is touched, lengths are checked.

    Raises:
        BadTarget: it does not answer, or counts otherwise.
    """
    (prompt,) = prompts_of(case, num_words, seed + 1_000_003, 1)
    body = {"model": MODEL, "prompt": prompt, "max_tokens": _NUM_WARM_UP_TOKENS, **sampling}
    try:
        answer = httpx.post(f"{server.url}/v1/completions", json=body, timeout=TIMEOUT_S, trust_env=False)
    except httpx.TransportError as exc:
        raise BadTarget(f"{server.url} does not answer: {exc!r}") from exc
    if answer.status_code != 200:
        raise BadTarget(f"{server.url} says {answer.status_code}: {answer.text[:300]}")
    usage = answer.json()["usage"]
    counted = (usage["prompt_tokens"], usage["completion_tokens"])
    planned = (case.prompt_tokens, _NUM_WARM_UP_TOKENS)
    if counted != planned:
        raise BadTarget(
            f"{server.url} counts {counted[0]} + {counted[1]} tokens, planned are {planned[0]} + {planned[1]}"
        )


def workload_of(case: Case, sampling: dict[str, object], seed: int, prompts: Path) -> Workload:
    """What is asked, of every server alike."""
    request = CompletionRequest(
        kind="completions",
        texts=str(prompts),
        output_tokens=case.output_tokens,
        hold_output_length=False,
        extra_body=sampling,
    )
    return Workload(
        name="llamacpp-chat",
        seed=seed,
        duration_s=_MAX_JOB_S,
        warm_up_s=0.0,
        timeout_s=TIMEOUT_S,
        arrivals=ClosedLoop(process="closed", concurrency=case.num_callers, max_sessions=case.num_requests),
        requests=(request,),
    )


def measured_of(run: Run, case: Case, cpu_s: dict[str, float]) -> Measured:
    """The figures of a finished job.

    Raises:
        BenchmarkError: nothing was answered.
    """
    whole = [record for record in run.records if _is_whole(record, case)]
    if not whole:
        why = next((record.detail for record in run.records if record.detail), "no answer was whole")
        raise BenchmarkError(f"{case.name}: nothing was answered: {why}")
    seconds = (max(r.end_ns for r in run.records) - min(r.intended_ns for r in run.records)) / 1e9
    num_tokens = sum(_num_tokens(record) for record in whole)
    gaps_ms = [gap / 1e3 for record in whole for gap in record.gaps_us]
    ttft_ms = [_ms(record.first_token_ns, record) for record in whole]
    return Measured(
        tokens_per_s=round(num_tokens / seconds, 3),
        seconds=round(seconds, 4),
        num_requests=len(run.records),
        num_failed=len(run.records) - len(whole),
        num_output_tokens=num_tokens,
        ttft_ms=sample_percentiles([value for value in ttft_ms if value is not None], _PERCENTS),
        itl_ms=sample_percentiles(gaps_ms, _PERCENTS),
        e2e_ms=sample_percentiles(
            [(record.end_ns - record.intended_ns) / 1e6 for record in whole], _PERCENTS
        ),
        read_ratio=_read_ratio(run.records, case),
        cpu_s={kind: round(seconds, 3) for kind, seconds in sorted(cpu_s.items()) if seconds >= 0.01},
        reasons=run.summary.certification.reasons,
        raw=_raw(run.records, gaps_ms),
    )


def _is_whole(record: Record, case: Case) -> bool:
    if record.outcome is not Outcome.OK or not record.num_pieces:
        return False
    return _num_tokens(record) >= _MIN_LENGTH_SHARE * case.output_tokens


def _num_tokens(record: Record) -> int:
    """By the server's usage; llama-cpp-python's servers send none with a stream, and a piece is a token there."""
    return record.num_pieces if record.num_output_tokens is None else record.num_output_tokens


def _read_ratio(records: Sequence[Record], case: Case) -> float | None:
    num_read = 0
    for record in records:
        if record.num_prompt_tokens is None or record.num_cached_tokens is None:
            return None
        num_read += record.num_prompt_tokens - record.num_cached_tokens
    return round(num_read / case.least_read_tokens, 4)


def _raw(records: Sequence[Record], gaps_ms: Sequence[float]) -> dict[str, Any]:
    """Every request in microseconds, and every gap, counted in tenths of a millisecond."""
    tenths = Counter(round(gap * 10) for gap in gaps_ms)
    return {
        "intended_us": [record.intended_ns // 1000 for record in records],
        "ttft_us": [_us(record.first_token_ns, record) for record in records],
        "e2e_us": [_us(record.end_ns, record) for record in records],
        "num_pieces": [record.num_pieces for record in records],
        "num_output_tokens": [record.num_output_tokens for record in records],
        "num_cached_tokens": [record.num_cached_tokens for record in records],
        "failures": dict(Counter(r.outcome for r in records if r.outcome is not Outcome.OK)),
        "gaps_tenths_of_ms": {str(gap): num for gap, num in sorted(tenths.items())},
    }


def _ms(at_ns: int | None, record: Record) -> float | None:
    return None if at_ns is None else (at_ns - record.intended_ns) / 1e6


def _us(at_ns: int | None, record: Record) -> int | None:
    return None if at_ns is None else (at_ns - record.intended_ns) // 1000
