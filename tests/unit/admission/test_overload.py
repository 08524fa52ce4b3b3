"""When a queue is an overload's."""

from __future__ import annotations

import pytest

from serve_app.admission.overload import (
    KEPT_SHARE,
    LONG_SHARE,
    MIN_KEPT,
    MIN_SPAN_S,
    SPAN_HOLDS,
    OverloadWatch,
)

SLOTS, PLACES, MAX_WAIT_S, RATE_RPS = 32, 1000, 10.0, 8.0  # four seconds each
LONG = round(LONG_SHARE * MAX_WAIT_S * RATE_RPS)
KEPT = round(KEPT_SHARE * SLOTS)
SPAN_S = SPAN_HOLDS * SLOTS / RATE_RPS


def watch() -> OverloadWatch:
    return OverloadWatch(SLOTS, PLACES, MAX_WAIT_S, 0.0)


def test_a_queue_that_stands_for_the_span_is_an_overloads() -> None:
    overload = watch()
    overload.look(10.0, LONG, RATE_RPS)
    overload.look(10.0 + 0.99 * SPAN_S, LONG, RATE_RPS)
    assert not overload.is_overload
    overload.look(10.0 + SPAN_S, LONG, RATE_RPS)
    assert overload.is_overload


def test_a_queue_within_the_allowed_wait_never_is() -> None:
    overload = watch()
    overload.look(10.0, LONG - 1, RATE_RPS)
    overload.look(10_000.0, LONG - 1, RATE_RPS)
    assert not overload.is_overload


def test_bursts_with_pauses_as_long_are_none() -> None:
    overload = watch()
    for n in range(100):
        overload.look(n * SPAN_S, 0 if n % 2 else PLACES, RATE_RPS)
        overload.look(n * SPAN_S + 0.9 * SPAN_S, 0, RATE_RPS)
    assert not overload.is_overload


def test_a_lucky_moment_does_not_end_it_and_a_span_does() -> None:
    overload = watch()
    overload.look(0.0, PLACES, RATE_RPS)
    overload.look(100.0, 0, RATE_RPS)
    overload.look(100.0 + 0.5 * SPAN_S, KEPT, RATE_RPS)  # as long as it can be now
    assert overload.is_overload
    overload.look(200.0, KEPT - 1, RATE_RPS)
    assert overload.soonest_end_s(RATE_RPS) == pytest.approx(SPAN_S)
    overload.look(200.0 + SPAN_S, 0, RATE_RPS)
    assert not overload.is_overload
    assert overload.soonest_end_s(RATE_RPS) == 0.0


def test_nothing_is_an_overload_before_the_rate_is_known() -> None:
    overload = watch()
    overload.look(0.0, PLACES, None)
    overload.look(1000.0, PLACES, None)
    assert not overload.is_overload


def test_the_span_is_what_a_request_takes_and_not_less_than_a_second() -> None:
    overload = watch()
    overload.look(0.0, PLACES, 1000.0)
    overload.look(MIN_SPAN_S - 0.01, PLACES, 1000.0)
    assert not overload.is_overload
    overload.look(MIN_SPAN_S, PLACES, 1000.0)
    assert overload.is_overload


def test_all_places_taken_is_long_however_short_the_wait() -> None:
    overload = OverloadWatch(SLOTS, 20, MAX_WAIT_S, 0.0)
    overload.look(0.0, 15, 1000.0)
    overload.look(MIN_SPAN_S, 15, 1000.0)
    assert overload.is_overload


@pytest.mark.parametrize(
    ("num_slots", "max_queued", "expected"), [(1, 100, MIN_KEPT), (100, 1000, 25), (100, 10, 10), (8, 0, 1)]
)
def test_how_many_wait_in_an_overload(num_slots: int, max_queued: int, expected: int) -> None:
    assert OverloadWatch(num_slots, max_queued, MAX_WAIT_S, 0.0).num_kept == expected
