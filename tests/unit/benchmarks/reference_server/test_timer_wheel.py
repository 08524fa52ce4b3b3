"""Nothing comes out early, nothing is lost, and order is kept."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.reference_server.timer_wheel import TICK_NS, TimerWheel

START = 1_000 * TICK_NS


@given(
    delays=st.lists(st.integers(0, 50 * TICK_NS), max_size=50),
    steps=st.lists(st.integers(1, 10 * TICK_NS), min_size=1, max_size=50),
)
def test_every_item_comes_out_once_and_within_a_tick_after_it_is_due(
    delays: list[int], steps: list[int]
) -> None:
    wheel: TimerWheel[int] = TimerWheel(START)
    for item, delay in enumerate(delays):
        wheel.put(item, START + delay)
    before = now = START
    taken: list[int] = []
    for step in [*steps, 52 * TICK_NS]:
        before, now = now, now + step
        for item in wheel.take(now):
            due = START + delays[item]
            assert due <= now
            assert due + TICK_NS > before  # it could not have come out at the time before
            taken.append(item)
    assert sorted(taken) == list(range(len(delays)))
    assert wheel.next_ns() is None


def test_what_was_overdue_when_it_was_put_comes_out_with_the_next_tick() -> None:
    wheel: TimerWheel[str] = TimerWheel(START)
    wheel.put("late", START - 5 * TICK_NS)
    assert wheel.take(START) == []
    assert wheel.take(START + TICK_NS) == ["late"]


def test_after_a_stop_everything_comes_out_in_the_order_in_which_it_was_due() -> None:
    wheel: TimerWheel[str] = TimerWheel(START)
    wheel.put("third", START + 9 * TICK_NS)
    wheel.put("first", START + 2 * TICK_NS)
    wheel.put("second", START + 2 * TICK_NS)
    assert wheel.take(START + 100_000 * TICK_NS) == ["first", "second", "third"]


def test_the_next_time_is_that_of_the_earliest_item() -> None:
    wheel: TimerWheel[str] = TimerWheel(START)
    assert wheel.next_ns() is None
    wheel.put("far", START + 40 * TICK_NS - 1)
    assert wheel.next_ns() == START + 40 * TICK_NS
    wheel.put("near", START + 1)
    assert wheel.next_ns() == START + TICK_NS
