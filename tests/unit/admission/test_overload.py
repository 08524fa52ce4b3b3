"""When a queue is an overload's."""

from __future__ import annotations

import pytest

from serve_app.admission.overload import (
    FILLED_SHARE,
    KEPT_SHARE,
    LONG_WAIT_SHARE,
    MIN_KEPT,
    MIN_SPAN_S,
    SPAN_HOLDS,
    OverloadWatch,
)

SLOTS, PLACES, MAX_WAIT_S, RATE_RPS = 32, 1000, 10.0, 8.0  # four seconds each
LONG = round(LONG_WAIT_SHARE * MAX_WAIT_S * RATE_RPS)
KEPT = round(KEPT_SHARE * SLOTS)
SPAN_S = SPAN_HOLDS * SLOTS / RATE_RPS


class Watch(OverloadWatch):
    """Looks at queues without batch requests."""

    def see(self, now: float, num_queued: int, rate_rps: float | None = RATE_RPS) -> None:
        self.look(now, num_queued, num_queued + 1, rate_rps)


def watch() -> Watch:
    return Watch(SLOTS, PLACES, MAX_WAIT_S, 0.0)


def test_a_queue_that_stands_for_the_span_is_an_overloads() -> None:
    overload = watch()
    overload.see(10.0, LONG)
    overload.see(10.0 + 0.99 * SPAN_S, LONG)
    assert not overload.is_overload
    overload.see(10.0 + SPAN_S, LONG)
    assert overload.is_overload


def test_a_queue_within_the_allowed_wait_never_is() -> None:
    overload = watch()
    overload.see(10.0, LONG - 2)
    overload.see(10_000.0, LONG - 2)
    assert not overload.is_overload


def test_what_batch_takes_of_the_slots_makes_the_wait_longer() -> None:
    overload = watch()
    overload.look(10.0, LONG - 5, LONG, RATE_RPS)
    overload.look(10.0 + SPAN_S, LONG - 5, LONG, RATE_RPS)
    assert overload.is_overload


def test_nobody_waiting_is_never_long_even_if_one_answer_takes_longer_than_is_allowed() -> None:
    overload = watch()
    overload.look(0.0, 0, 1, 0.01)
    overload.look(10_000.0, 0, 1, 0.01)
    assert not overload.is_overload


def test_bursts_with_pauses_as_long_are_none() -> None:
    overload = watch()
    for n in range(100):
        overload.see(n * SPAN_S, 0 if n % 2 else PLACES)
        overload.see(n * SPAN_S + 0.9 * SPAN_S, 0)
    assert not overload.is_overload


def test_a_lucky_moment_does_not_end_it_and_a_span_does() -> None:
    overload = watch()
    overload.see(0.0, PLACES)
    filled = round(FILLED_SHARE * KEPT)
    overload.see(100.0, filled - 1)
    overload.see(100.0 + 0.5 * SPAN_S, filled)  # shorter than it began with, for it is kept short now
    assert overload.is_overload
    overload.see(200.0, filled - 1)
    assert overload.soonest_end_s(RATE_RPS) == pytest.approx(SPAN_S)
    overload.see(200.0 + SPAN_S, filled - 1)
    assert not overload.is_overload
    assert overload.soonest_end_s(RATE_RPS) == 0.0


def test_nothing_is_an_overload_before_the_rate_is_known() -> None:
    overload = watch()
    overload.see(0.0, PLACES, None)
    overload.see(1000.0, PLACES, None)
    assert not overload.is_overload


def test_the_span_is_what_a_request_takes_and_not_less_than_a_second() -> None:
    overload = watch()
    overload.see(0.0, PLACES, 1000.0)
    overload.see(MIN_SPAN_S - 0.01, PLACES, 1000.0)
    assert not overload.is_overload
    overload.see(MIN_SPAN_S, PLACES, 1000.0)
    assert overload.is_overload


def test_nearly_all_places_taken_is_long_however_short_the_wait() -> None:
    overload = Watch(SLOTS, 20, MAX_WAIT_S, 0.0)
    overload.see(0.0, 17, 1000.0)
    overload.see(10.0, 17, 1000.0)
    assert not overload.is_overload
    overload.see(10.0, 18, 1000.0)
    overload.see(10.0 + MIN_SPAN_S, 18, 1000.0)
    assert overload.is_overload


@pytest.mark.parametrize(
    ("num_slots", "max_queued", "rate_rps", "expected"),
    [
        (1, 100, RATE_RPS, MIN_KEPT),
        (100, 1000, RATE_RPS, 25),
        (100, 10, RATE_RPS, 10),
        (8, 0, RATE_RPS, 1),
        (8, 100, 0.2, 2),  # a third would wait for longer than is allowed
        (8, 100, 0.02, 1),
    ],
)
def test_how_many_wait_in_an_overload(
    num_slots: int, max_queued: int, rate_rps: float, expected: int
) -> None:
    assert OverloadWatch(num_slots, max_queued, MAX_WAIT_S, 0.0).num_kept(rate_rps) == expected
