"""What each metric of a request is, and when it is nothing."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.metrics.base import RequestMetric
from benchmarks.metrics.catalogue import REQUEST_METRICS, RUN_METRICS
from benchmarks.metrics.connect_time import CONNECT_TIME
from benchmarks.metrics.dispatch_delay import DISPATCH_DELAY
from benchmarks.metrics.e2e import E2E
from benchmarks.metrics.e2e_from_send import E2E_FROM_SEND
from benchmarks.metrics.itl import ITL
from benchmarks.metrics.output_length_error import OUTPUT_LENGTH_ERROR
from benchmarks.metrics.output_rate import OUTPUT_RATE
from benchmarks.metrics.tpot import TPOT
from benchmarks.metrics.ttft import TTFT
from benchmarks.metrics.ttft_from_send import TTFT_FROM_SEND
from benchmarks.records import Outcome, Record

MS = 1_000_000


def stream(**changes: Any) -> Record:
    """Due at 1 s, sent 2 ms later on a new connection of 1.5 ms; 4 pieces, 10 ms apart; done at 1.1 s."""
    fields: dict[str, Any] = {
        "index": 0,
        "entry": "chat",
        "worker": 0,
        "outcome": Outcome.OK,
        "intended_ns": 1000 * MS,
        "sent_ns": 1002 * MS,
        "connect_ns": 1_500_000,
        "first_token_ns": 1052 * MS,
        "last_token_ns": 1082 * MS,
        "end_ns": 1100 * MS,
        "is_stream": True,
        "gaps_us": [10_000, 0, 20_000],
        "num_pieces": 4,
        "num_output_tokens": 7,
        "num_planned_output_tokens": 8,
    }
    return Record(**fields | changes)


FAILED_BEFORE = {
    "outcome": Outcome.HTTP_ERROR,
    "first_token_ns": None,
    "last_token_ns": None,
    "gaps_us": [],
    "num_pieces": 0,
    "num_output_tokens": None,
}


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (TTFT, [52.0]),
        (TTFT_FROM_SEND, [50.0]),
        (ITL, [10.0, 0.0, 20.0]),
        (TPOT, [5.0]),  # 30 ms over the 6 tokens after the first, by the server's count
        (E2E, [100.0]),
        (E2E_FROM_SEND, [98.0]),
        (OUTPUT_RATE, [70.0]),
        (OUTPUT_LENGTH_ERROR, [1.0]),
        (DISPATCH_DELAY, [0.5]),  # without the time of the connection
        (CONNECT_TIME, [1.5]),
    ],
    ids=lambda value: value.name if isinstance(value, RequestMetric) else "",
)
def test_a_whole_answer_has_every_metric(metric: RequestMetric, expected: list[float]) -> None:
    record = stream()
    assert metric.applies(record)
    assert list(metric.values(record)) == pytest.approx(expected)
    assert not metric.is_cut_off(record)


def test_the_client_counts_where_the_server_does_not() -> None:
    record = stream(num_output_tokens=None)
    assert list(TPOT.values(record)) == pytest.approx([10.0])
    assert list(OUTPUT_RATE.values(record)) == pytest.approx([40.0])
    assert list(OUTPUT_LENGTH_ERROR.values(record)) == [4.0]


@pytest.mark.parametrize("metric", [TTFT, TTFT_FROM_SEND, ITL, TPOT, E2E, E2E_FROM_SEND, OUTPUT_RATE])
def test_a_request_that_failed_first_owes_a_value(metric: RequestMetric) -> None:
    record = stream(**FAILED_BEFORE)
    assert metric.applies(record)
    assert not metric.values(record)


def test_a_stream_that_broke_keeps_what_was_seen_and_owes_the_rest() -> None:
    record = stream(outcome=Outcome.TRUNCATED, num_output_tokens=None)
    assert list(TTFT.values(record)) == pytest.approx([52.0])
    assert list(ITL.values(record)) == [10.0, 0.0, 20.0]
    assert ITL.is_cut_off(record)
    for metric in (TPOT, E2E, OUTPUT_RATE):
        assert metric.applies(record)
        assert not metric.values(record)


def test_an_answer_of_one_token_has_no_pace_and_owes_none() -> None:
    one = stream(num_pieces=1, num_output_tokens=1, gaps_us=[], last_token_ns=1052 * MS)
    assert not TPOT.applies(one)
    assert not ITL.applies(one)
    assert TTFT.applies(one)
    assert not TPOT.applies(stream(num_output_tokens=1)), "one token in several pieces"
    joined = stream(num_pieces=1, gaps_us=[], last_token_ns=1052 * MS)
    assert not TPOT.applies(joined), "seven tokens in one piece were not timed, and took not 0 ms each"
    assert not TPOT.applies(stream(**FAILED_BEFORE, num_planned_output_tokens=1))


def test_a_run_without_token_times_has_no_gaps_but_a_pace() -> None:
    record = stream(gaps_us=[])
    assert not ITL.applies(record)
    assert list(TPOT.values(record)) == pytest.approx([5.0])


def test_what_does_not_stream_has_only_its_end() -> None:
    embedding = stream(
        **FAILED_BEFORE | {"outcome": Outcome.OK}, is_stream=False, num_planned_output_tokens=None
    )
    applying = {metric.name for metric in REQUEST_METRICS if metric.applies(embedding)}
    assert applying == {"e2e", "e2e_from_send", "connect_time", "dispatch_delay"}


def test_an_answer_without_text_owes_its_first_token() -> None:
    record = stream(**FAILED_BEFORE | {"outcome": Outcome.OK, "num_output_tokens": 0})
    assert TTFT.applies(record)
    assert not TTFT.values(record)
    assert not TPOT.applies(record)


def test_a_user_who_left_saw_what_came() -> None:
    early = stream(**FAILED_BEFORE | {"outcome": Outcome.ABANDONED})
    assert TTFT.applies(early)
    assert not TTFT.values(early)
    assert not TPOT.applies(early), "nobody knows the pace it would have had"
    late = stream(outcome=Outcome.ABANDONED, num_output_tokens=None)
    assert list(TPOT.values(late)) == pytest.approx([10.0])
    assert not ITL.is_cut_off(late)
    assert E2E.applies(late)
    assert not E2E.values(late)


def test_what_a_stopped_run_never_sent_counts_nowhere_and_what_it_caught_in_flight_does() -> None:
    unsent = stream(**FAILED_BEFORE | {"outcome": Outcome.INTERRUPTED, "sent_ns": None, "connect_ns": None})
    assert not [metric.name for metric in REQUEST_METRICS if metric.applies(unsent)]
    caught = stream(**FAILED_BEFORE | {"outcome": Outcome.INTERRUPTED})
    assert TTFT.applies(caught)
    assert E2E.applies(caught)


def test_dispatch_is_the_clients_alone() -> None:
    assert not DISPATCH_DELAY.applies(stream(turn=1)), "due when an answer came, a moment the client makes"
    assert not DISPATCH_DELAY.applies(stream(is_resent=True)), "the server had closed the connection"
    assert not DISPATCH_DELAY.applies(stream(sent_ns=None))
    assert list(DISPATCH_DELAY.values(stream(sent_ns=1001 * MS))) == [0.0]
    assert list(DISPATCH_DELAY.values(stream(connect_ns=None))) == [2.0]


def test_a_kept_connection_has_no_connect_time() -> None:
    assert not CONNECT_TIME.applies(stream(connect_ns=None))


def test_every_metric_says_what_it_is() -> None:
    metrics = [*REQUEST_METRICS, *RUN_METRICS]
    assert all(metric.name and metric.unit and metric.formula and metric.undefined for metric in metrics)
    assert len({metric.name for metric in metrics}) == len(metrics)
