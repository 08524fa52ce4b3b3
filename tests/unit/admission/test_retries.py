"""The budget of retries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.admission.retries import RetryBudget


class Clock:
    def __init__(self) -> None:
        self.now_s = 50.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def num_allowed(budget: RetryBudget, num: int = 1000) -> int:
    return sum(budget.try_retry() for _ in range(num))


def test_a_quiet_caller_may_retry_a_few_times(clock: Clock) -> None:
    budget = RetryBudget(ratio=0.1, min_retries_per_s=0.5, window_s=10.0, clock=clock)
    assert num_allowed(budget) == 5
    assert budget.num_denied == 995


def test_a_busy_caller_may_retry_a_share_of_its_requests(clock: Clock) -> None:
    budget = RetryBudget(ratio=0.1, min_retries_per_s=0.0, window_s=10.0, clock=clock)
    assert num_allowed(budget) == 0
    for _ in range(200):
        budget.request()
    assert num_allowed(budget) == 20


def test_what_is_spent_comes_back_with_time_and_requests(clock: Clock) -> None:
    budget = RetryBudget(ratio=0.1, min_retries_per_s=0.5, window_s=10.0, clock=clock)
    assert num_allowed(budget) == 5
    clock.now_s += 1000.0
    assert num_allowed(budget) == 5
    clock.now_s += 1000.0
    for _ in range(100):
        budget.request()
    clock.now_s += 1000.0  # forgotten, too
    assert num_allowed(budget) == 5


def test_in_a_long_outage_retries_stay_a_share_of_the_load(clock: Clock) -> None:
    """Every request fails and wants to be made again: the server sees 1.1 times the load, and a few more."""
    budget = RetryBudget(ratio=0.1, min_retries_per_s=0.5, window_s=10.0, clock=clock)
    num_retries = 0
    for _ in range(100 * 60):  # a minute of 100 requests a second
        budget.request()
        num_retries += num_allowed(budget, 3)
        clock.now_s += 0.01
    assert 0.1 * 6000 <= num_retries <= 0.1 * 6000 + 0.5 * 60 + 15


@given(st.lists(st.tuples(st.floats(0.0, 30.0), st.booleans()), max_size=200))
def test_no_sequence_gets_more_than_its_share_and_the_least(events: list[tuple[float, bool]]) -> None:
    clock = Clock()
    budget = RetryBudget(ratio=0.2, min_retries_per_s=1.0, window_s=10.0, clock=clock)
    num_requests = num_retries = 0
    for pause_s, is_retry in events:
        clock.now_s += pause_s
        if is_retry:
            num_retries += budget.try_retry()
        else:
            num_requests += 1
            budget.request()
    # What was forgotten may have been spent again: at most once for each window that passed.
    num_windows = 1.0 + (clock.now_s - 50.0) / 10.0
    assert num_retries <= 0.2 * num_requests + 10.0 * num_windows


@pytest.mark.parametrize(("ratio", "least", "window_s"), [(-0.1, 1, 1), (0.1, -1, 1), (0.1, 1, 0)])
def test_nonsense_is_refused(ratio: float, least: float, window_s: float) -> None:
    with pytest.raises(ValueError, match="budget"):
        RetryBudget(ratio, least, window_s)
