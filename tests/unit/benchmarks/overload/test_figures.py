"""Figures of overload from records."""

from __future__ import annotations

import pytest

from benchmarks.overload.figures import figures_of, retry_after
from benchmarks.records import Outcome, Record

MS = 1_000_000


def record(outcome: Outcome, status: int | None, end_ms: int, first_ms: int | None = None) -> Record:
    return Record(
        index=0,
        entry="chat",
        worker=0,
        outcome=outcome,
        intended_ns=5 * MS,
        end_ns=(5 + end_ms) * MS,
        is_stream=True,
        sent_ns=5 * MS,
        first_token_ns=None if first_ms is None else (5 + first_ms) * MS,
        status=status,
    )


def test_shares_rates_and_times() -> None:
    records = [
        *[record(Outcome.OK, 200, 1000, 100)] * 5,
        *[record(Outcome.REFUSED, 429, 20)] * 3,
        record(Outcome.REFUSED, 503, 40),
        record(Outcome.HTTP_ERROR, 504, 3000),
        *[record(Outcome.TIMEOUT, None, 9000)] * 2,
    ]
    figures = figures_of(records, 2.0, seconds=2.0, problems=["late"])
    assert (figures.num_requests, figures.offered_rps, figures.completed_rps) == (12, 6.0, 2.5)
    assert figures.goodput_rps == 2.0
    assert figures.refused_share == pytest.approx(4 / 12, abs=1e-4)
    assert figures.failed_share == pytest.approx(3 / 12)
    assert figures.statuses == {"200": 5, "429": 3, "503": 1, "504": 1}
    assert (figures.ttft_ms["p50"], figures.e2e_ms["p95"]) == (100.0, 1000.0)
    assert figures.refused_after_ms["max"] == 40.0
    assert figures.problems == ("late",)


def test_what_nobody_had_is_absent() -> None:
    figures = figures_of([record(Outcome.TIMEOUT, None, 9000)], 0.0, seconds=1.0)
    assert figures.ttft_ms == figures.refused_after_ms == {}
    assert figures_of([], 0.0, seconds=1.0).refused_share == 0.0


def test_retry_after_of_those_turned_away() -> None:
    answers = [
        {"status": 200, "retry_after_s": None},
        {"status": 429, "retry_after_s": 2.0},
        {"status": 503, "retry_after_s": 4.0},
        {"status": 429, "retry_after_s": None},
    ]
    found = retry_after(answers)
    assert (found["num"], found["num_without"]) == (4, 1)
    assert found["statuses"] == {"200": 1, "429": 2, "503": 1}
    assert (found["seconds"]["p50"], found["seconds"]["max"]) == (3.0, 4.0)
