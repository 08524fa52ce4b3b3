"""Throughput counts what came within the window, goodput what was good, and a backlog earns nothing."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.metrics.base import Window
from benchmarks.metrics.completed_rate import COMPLETED_RATE
from benchmarks.metrics.error_rate import ERROR_RATE
from benchmarks.metrics.goodput import ATTAINMENT, GOODPUT
from benchmarks.metrics.offered_rate import OFFERED_RATE
from benchmarks.metrics.output_throughput import OUTPUT_THROUGHPUT, OUTPUT_THROUGHPUT_BY_CLIENT
from benchmarks.metrics.total_throughput import TOTAL_THROUGHPUT
from benchmarks.records import Outcome, Record
from configs.workload import Objectives

S = 1_000_000_000


def answer(start_s: float, seconds: float = 1.0, tokens: int = 10, **changes: Any) -> Record:
    """A stream whose first token comes at once and the others evenly until its end."""
    first_ns, last_ns = round(start_s * S), round((start_s + seconds) * S)
    gap_us = (last_ns - first_ns) // 1000 // (tokens - 1)
    fields: dict[str, Any] = {
        "index": 0,
        "entry": "chat",
        "worker": 0,
        "outcome": Outcome.OK,
        "intended_ns": first_ns,
        "sent_ns": first_ns,
        "first_token_ns": first_ns,
        "last_token_ns": last_ns,
        "end_ns": last_ns,
        "is_stream": True,
        "gaps_us": [gap_us] * (tokens - 1),
        "num_pieces": tokens,
        "num_prompt_tokens": 100,
        "num_output_tokens": tokens,
    }
    return Record(**fields | changes)


def embedding(start_s: float, **changes: Any) -> Record:
    nothing = {"first_token_ns": None, "last_token_ns": None, "num_pieces": 0, "num_output_tokens": None}
    return answer(start_s, is_stream=False, gaps_us=[], **nothing | changes)


def window(*records: Record, start_s: float = 0.0, end_s: float = 10.0, **limits: Any) -> Window:
    arrived = [record for record in records if start_s * S <= record.intended_ns < end_s * S]
    return Window(arrived, start_s, end_s, records, Objectives(**limits))


def test_an_empty_window_has_no_rates() -> None:
    nothing = window(start_s=5.0, end_s=5.0)
    for metric in (OFFERED_RATE, COMPLETED_RATE, OUTPUT_THROUGHPUT, TOTAL_THROUGHPUT, GOODPUT, ERROR_RATE):
        assert metric.value(nothing) is None


def test_offered_counts_arrivals_and_completed_counts_ends() -> None:
    failed = answer(4.0, outcome=Outcome.TRUNCATED)
    some = window(answer(-0.5), answer(1.0), answer(9.5), failed)
    assert OFFERED_RATE.value(some) == pytest.approx(0.3)
    assert COMPLETED_RATE.value(some) == pytest.approx(0.2), "the one from before, and the one at 1 s"


def test_tokens_count_when_they_come() -> None:
    # Two of ten tokens before the window's end; one answer that began before its start; one far outside.
    some = window(answer(9.8, 0.9), answer(-0.45, 0.9), answer(12.0), answer(5.0))
    assert OUTPUT_THROUGHPUT_BY_CLIENT.value(some) == pytest.approx((2 + 5 + 10) / 10)
    assert OUTPUT_THROUGHPUT.value(some) == pytest.approx((2 + 5 + 10) / 10)


def test_without_token_times_an_answer_is_spread_evenly() -> None:
    assert OUTPUT_THROUGHPUT.value(window(answer(9.0, 4.0, gaps_us=[]))) == pytest.approx(0.25)


def test_an_overloaded_server_does_not_show_the_offered_load() -> None:
    """One answer a second is delivered, three a second arrive: the backlog is answered after the window."""
    records = [answer(number, 0.9, intended_ns=round(number / 3 * S)) for number in range(30)]
    assert OFFERED_RATE.value(window(*records)) == pytest.approx(3.0)
    assert COMPLETED_RATE.value(window(*records)) == pytest.approx(1.0)
    assert OUTPUT_THROUGHPUT.value(window(*records)) == pytest.approx(10.0)


def test_usage_is_whole_or_not_there() -> None:
    assert OUTPUT_THROUGHPUT.value(window(answer(1.0), answer(2.0, num_output_tokens=None))) is None
    assert OUTPUT_THROUGHPUT_BY_CLIENT.value(window(answer(1.0, num_output_tokens=None))) == pytest.approx(
        1.0
    )
    broken = answer(2.0, outcome=Outcome.RESET, num_output_tokens=None)
    assert OUTPUT_THROUGHPUT.value(window(answer(1.0), broken)) == pytest.approx(1.0)
    assert OUTPUT_THROUGHPUT.value(window(answer(1.0), embedding(2.0))) == pytest.approx(1.0)
    whole = embedding(2.0, num_planned_output_tokens=8)
    assert OUTPUT_THROUGHPUT.value(window(answer(1.0), whole)) is None, "a chat without a stream or usage"


def test_without_streams_the_client_has_no_count() -> None:
    assert OUTPUT_THROUGHPUT_BY_CLIENT.value(window(embedding(1.0))) is None
    assert OUTPUT_THROUGHPUT.value(window(embedding(1.0))) is None


def test_total_counts_prompts_when_they_were_read() -> None:
    late = answer(9.5, first_token_ns=11 * S, last_token_ns=12 * S, gaps_us=[])
    assert TOTAL_THROUGHPUT.value(window(answer(1.0), late, embedding(3.0))) == pytest.approx(
        (100 + 10 + 100) / 10
    )
    assert TOTAL_THROUGHPUT.value(window(answer(1.0), answer(2.0, num_prompt_tokens=None))) is None


def test_goodput_needs_objectives() -> None:
    assert GOODPUT.value(window(answer(1.0))) is None
    assert ATTAINMENT.value(window(answer(1.0))) is None


def test_goodput_counts_requests_that_meet_all() -> None:
    slow_start = answer(1.0, intended_ns=round(0.7 * S))
    slow_end = answer(2.0, 3.0)
    failed = answer(3.0, outcome=Outcome.STREAM_ERROR)
    some = window(answer(1.0), slow_start, slow_end, failed, ttft_ms=200, e2e_ms=2000)
    assert GOODPUT.value(some) == pytest.approx(0.1)
    assert ATTAINMENT.value(some) == pytest.approx(0.25)


def test_an_objective_does_not_judge_what_it_does_not_apply_to() -> None:
    one_token = answer(1.0, num_pieces=1, num_output_tokens=1, gaps_us=[])
    some = window(embedding(1.0), one_token, ttft_ms=100, tpot_ms=10)
    assert ATTAINMENT.value(some) == 1.0


def test_who_left_is_judged_by_what_was_to_be_seen() -> None:
    def left_after(seconds: float, **changes: Any) -> Record:
        gone: dict[str, Any] = {"outcome": Outcome.ABANDONED, "end_ns": round((1.0 + seconds) * S)}
        return answer(1.0, **gone | changes)

    nothing = {"first_token_ns": None, "last_token_ns": None, "gaps_us": [], "num_pieces": 0}
    assert ATTAINMENT.value(window(left_after(0.1, **nothing), ttft_ms=200)) is None, (
        "it could still have come"
    )
    assert ATTAINMENT.value(window(left_after(0.3, **nothing), ttft_ms=200)) == 0.0, "it was too late already"
    assert ATTAINMENT.value(window(left_after(0.3), ttft_ms=200)) == 1.0, "it had come in time"
    assert ATTAINMENT.value(window(left_after(0.3), ttft_ms=200, e2e_ms=1000)) is None
    assert ATTAINMENT.value(window(left_after(0.3, **nothing), tpot_ms=20)) is None, "no pace was to be seen"
    assert GOODPUT.value(window(left_after(0.1, **nothing), ttft_ms=200)) == 0.0


def test_errors_are_a_share_of_all_that_were_asked() -> None:
    unsent = answer(1.0, outcome=Outcome.INTERRUPTED, sent_ns=None)
    some = window(
        answer(1.0), answer(1.0, outcome=Outcome.ABANDONED), answer(1.0, outcome=Outcome.CONNECT), unsent
    )
    assert ERROR_RATE.value(some) == pytest.approx(1 / 3)
    assert ERROR_RATE.value(window(unsent)) is None
