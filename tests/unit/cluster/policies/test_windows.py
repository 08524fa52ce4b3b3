from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cluster.policies.windows import Samples, with_high, with_low

STEPS = st.lists(st.tuples(st.floats(0.01, 20.0), st.integers(0, 9)), min_size=1, max_size=60)


@given(steps=STEPS, window_s=st.floats(0.0, 50.0))
def test_the_first_sample_is_the_extreme_of_the_window(
    steps: list[tuple[float, int]], window_s: float
) -> None:
    given_so_far: list[tuple[float, int]] = []
    highs: Samples = ()
    lows: Samples = ()
    at_s = 0.0
    for pause_s, value in steps:
        at_s += pause_s
        given_so_far.append((at_s, value))
        highs = with_high(highs, at_s, value, window_s)
        lows = with_low(lows, at_s, value, window_s)
        recent = [kept for when, kept in given_so_far if when > at_s - window_s] or [value]
        assert highs[0][1] == max(recent)
        assert lows[0][1] == min(recent)


def test_as_many_samples_are_kept_as_there_are_values_however_often_it_is_asked() -> None:
    highs: Samples = ()
    for tick in range(10_000):
        highs = with_high(highs, tick / 10, tick % 7, 600.0)
    assert len(highs) <= 7
