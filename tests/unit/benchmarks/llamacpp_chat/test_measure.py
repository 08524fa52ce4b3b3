from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.llamacpp_chat.cases import Case
from benchmarks.llamacpp_chat.measure import measured_of, workload_of
from benchmarks.records import Outcome, Record
from benchmarks.run.execute import Run

CASE = Case(2, 100, 4, 2, shared_tokens=60)
MS = 1_000_000


def answer(start_ms: int, **changes: Any) -> Record:
    given: dict[str, Any] = {
        "index": 0,
        "entry": "completions",
        "worker": 0,
        "outcome": Outcome.OK,
        "intended_ns": start_ms * MS,
        "first_token_ns": (start_ms + 100) * MS,
        "gaps_us": [10_000, 10_000, 20_000],
        "end_ns": (start_ms + 140) * MS,
        "num_pieces": 4,
        "num_output_tokens": 4,
        "num_prompt_tokens": 100,
        "num_cached_tokens": 0,
        "is_stream": True,
    }
    return Record(**given | changes)


def run_of(*records: Record) -> Run:
    certification = SimpleNamespace(reasons=())
    return cast("Run", SimpleNamespace(records=records, summary=SimpleNamespace(certification=certification)))


def test_a_jobs_rate_is_from_its_first_request_to_its_last_answer() -> None:
    measured = measured_of(run_of(answer(0), answer(60)), CASE, {"python": 1.0})
    assert measured.seconds == pytest.approx(0.2)
    assert measured.tokens_per_s == pytest.approx(40.0)
    assert measured.ttft_ms["p50"] == pytest.approx(100.0)
    assert measured.itl_ms == {"p50": 10.0, "p95": 20.0}
    assert measured.e2e_ms["p95"] == pytest.approx(140.0)


def test_what_was_read_is_compared_with_the_least_that_there_is() -> None:
    least = answer(0), answer(0, num_cached_tokens=60)
    assert measured_of(run_of(*least), CASE, {}).read_ratio == 1.0
    assert measured_of(run_of(answer(0), answer(0)), CASE, {}).read_ratio == pytest.approx(
        200 / 140, abs=1e-4
    )
    assert measured_of(run_of(answer(0), answer(0, num_cached_tokens=None)), CASE, {}).read_ratio is None


def test_an_answer_that_is_too_short_has_failed() -> None:
    measured = measured_of(run_of(answer(0), answer(0, num_pieces=3, num_output_tokens=3)), CASE, {})
    assert measured.num_failed == 1
    assert measured.num_output_tokens == 4


def test_pieces_are_tokens_where_the_server_counts_none() -> None:
    measured = measured_of(run_of(answer(0, num_output_tokens=None, num_prompt_tokens=None)), CASE, {})
    assert measured.num_output_tokens == 4


def test_nothing_answered_is_an_error_with_the_reason() -> None:
    failed = answer(0, outcome=Outcome.HTTP_ERROR, detail="HTTP 500", num_pieces=0)
    with pytest.raises(BenchmarkError, match="HTTP 500"):
        measured_of(run_of(failed), CASE, {})


def test_every_server_is_asked_for_the_same_number_of_requests() -> None:
    workload = workload_of(CASE, {"ignore_eos": True}, 1, Path("prompts.jsonl"))
    assert workload.model_dump()["arrivals"]["max_sessions"] == 2
    (request,) = workload.requests
    assert request.extra_body["ignore_eos"] is True
