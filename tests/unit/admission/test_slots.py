"""The drain rate, from slots that are taken and come free."""

from __future__ import annotations

import pytest

from serve_app.admission.slots import MIN_MEMORY_ENDS, NUM_TRUSTED_ENDS, Slots


def one_after_the_other(slots: Slots, start_s: float, hold_s: float, num: int) -> float:
    """One slot is used, the rest stay free; when the last request ends."""
    for n in range(num):
        slots.take(start_s + n * hold_s)
        slots.give_back(start_s + (n + 1) * hold_s)
    return start_s + num * hold_s


def test_nothing_is_known_before_a_few_have_ended() -> None:
    slots = Slots(2, 0.0)
    assert slots.drain_rate_rps(5.0) is None
    assert slots.best_drain_rate_rps(5.0) is None  # nothing began
    now = one_after_the_other(slots, 5.0, 1.0, NUM_TRUSTED_ENDS - 1)
    assert slots.drain_rate_rps(now) is None
    now = one_after_the_other(slots, now, 1.0, 1)
    assert slots.drain_rate_rps(now) == pytest.approx(2.0)


def test_before_the_first_end_the_rate_is_as_if_it_came_now() -> None:
    slots = Slots(2, 0.0)
    slots.take(0.0)
    slots.take(0.0)
    assert slots.best_drain_rate_rps(4.0) == pytest.approx(2 * 1 / 8.0)
    assert slots.best_drain_rate_rps(8.0) == pytest.approx(2 * 1 / 16.0)


def test_idle_slots_and_idle_time_do_not_lower_the_rate() -> None:
    slots = Slots(8, 0.0)
    now = one_after_the_other(slots, 0.0, 0.5, 40)  # one of eight slots
    assert slots.drain_rate_rps(now) == pytest.approx(16.0)
    assert slots.drain_rate_rps(now + 3600.0) == pytest.approx(16.0)


def test_those_that_end_together_give_the_same_rate_as_those_that_take_turns() -> None:
    together = Slots(4, 0.0)
    for _ in range(4):
        together.take(0.0)
    for round_s in (2.0, 4.0, 6.0):
        for _ in range(4):
            together.pass_on(round_s)
    in_turn = Slots(4, 0.0)
    for n in range(4):
        in_turn.take(0.5 * n)
    for n in range(40):
        in_turn.pass_on(2.0 + 0.5 * n)
    assert together.drain_rate_rps(6.0) == pytest.approx(2.0, rel=0.02)
    assert in_turn.drain_rate_rps(21.5) == pytest.approx(2.0, rel=0.05)


def test_short_requests_that_end_first_do_not_make_it_too_high() -> None:
    """Half take 1 s and half 9 s. After 1 s only short ones have ended, and a mean of theirs would say 10/s."""
    slots = Slots(10, 0.0)
    for _ in range(10):
        slots.take(0.0)
    for _ in range(5):
        slots.give_back(1.0)
    rate_rps = slots.drain_rate_rps(4.0)
    assert rate_rps is not None
    assert rate_rps == pytest.approx(10 * 5 / (5 * 1.0 + 5 * 4.0), rel=0.1)


def test_an_engine_that_hangs_lowers_it() -> None:
    slots = Slots(1, 0.0)
    now = one_after_the_other(slots, 0.0, 1.0, 100)
    slots.take(now)
    before = slots.drain_rate_rps(now)
    after = slots.drain_rate_rps(now + 10 * MIN_MEMORY_ENDS)
    assert before == pytest.approx(1.0)
    assert after is not None
    assert after < 0.1


def test_a_change_of_pace_is_followed_within_a_few_rounds() -> None:
    slots = Slots(1, 0.0)
    now = one_after_the_other(slots, 0.0, 1.0, 200)
    now = one_after_the_other(slots, now, 4.0, 3 * MIN_MEMORY_ENDS)
    assert slots.drain_rate_rps(now) == pytest.approx(0.25, rel=0.2)


def test_counts() -> None:
    slots = Slots(2, 0.0)
    slots.take(0.0)
    slots.take(0.0)
    assert not slots.has_free()
    slots.pass_on(1.0)
    assert (slots.num_running, slots.num_begun) == (2, 3)
    slots.give_back(2.0)
    assert slots.has_free()
    assert (slots.num_running, slots.num_begun) == (1, 3)


def test_requests_that_take_no_time_at_all_give_no_rate() -> None:
    slots = Slots(2, 0.0)
    for _ in range(10):
        slots.take(0.0)
        slots.give_back(0.0)
    assert slots.drain_rate_rps(0.0) is None
