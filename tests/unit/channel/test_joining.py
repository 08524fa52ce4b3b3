from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.channel.joining import (
    AGENT_WAKE_UP_S,
    COUNT_S,
    GATHER_S,
    MAX_SHARE,
    MAX_WINDOW_S,
    WAKE_UP_S,
    Joining,
)

AFFORDABLE_RATE = MAX_SHARE / WAKE_UP_S


def joining_at(rate: float, wake_up_s: float = WAKE_UP_S) -> Joining:
    """One that has seen so many frames a second."""
    joining = Joining(0.0, wake_up_s)
    for _ in range(round(rate * COUNT_S)):
        joining.frame()
    return joining


@given(st.integers(0, 100_000))
def test_nothing_waits_before_anything_is_known(num_streams: int) -> None:
    assert Joining(5.0).window_s(num_streams, 5.0) == 0.0


@given(st.integers(1, 1000), st.floats(0.0, 0.99))
def test_frames_hardly_wait_while_the_receiver_can_afford_it(num_streams: int, share: float) -> None:
    assert joining_at(share * AFFORDABLE_RATE).window_s(num_streams, COUNT_S) <= GATHER_S


@given(st.floats(0.0, 1.5))
def test_a_few_streams_never_wait(frames_in_gather: float) -> None:
    assert joining_at(frames_in_gather / GATHER_S).window_s(8, COUNT_S) == 0.0


@given(st.integers(1, 100_000), st.floats(1.1, 10.0))
def test_beyond_it_the_wake_ups_of_all_streams_keep_to_their_share(num_streams: int, share: float) -> None:
    window_s = joining_at(share * AFFORDABLE_RATE).window_s(num_streams, COUNT_S)
    assert 0 < window_s <= MAX_WINDOW_S
    if window_s < MAX_WINDOW_S:
        assert num_streams * WAKE_UP_S / window_s == pytest.approx(MAX_SHARE)


def test_frames_wait_earlier_for_a_receiver_to_whom_they_cost_more() -> None:
    rate = 0.9 * AFFORDABLE_RATE
    assert joining_at(rate).window_s(50, COUNT_S) <= GATHER_S
    assert joining_at(rate, AGENT_WAKE_UP_S).window_s(50, COUNT_S) == pytest.approx(
        50 * AGENT_WAKE_UP_S / MAX_SHARE
    )


def test_a_rush_that_is_over_is_forgotten() -> None:
    joining = joining_at(3 * AFFORDABLE_RATE)
    assert joining.window_s(100, COUNT_S) > 0
    assert joining.window_s(100, 2 * COUNT_S) == 0
