"""A warm-up is cut, a stall is not, and what never settles is said to."""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec
import pytest

from benchmarks.records import Outcome, Record
from benchmarks.statistics.steady_state import steady_state

Queue = Callable[..., list[Record]]


def slower(seconds: float, by_s: float) -> Callable[[float], float]:
    return lambda at_s: by_s if at_s < seconds else 0.0


def test_a_level_run_loses_nothing(queue: Queue) -> None:
    for rho in (0.3, 0.5, 0.7):
        found = [steady_state(queue(rho=rho, seed=seed), 30.0) for seed in range(10)]
        assert sum(state.start_s == 0 and state.is_settled is True for state in found) >= 9


@pytest.mark.parametrize(("seconds", "by_s"), [(1.0, 0.5), (3.0, 0.1), (8.0, 0.05), (12.0, 0.05)])
def test_a_slow_start_is_cut_where_it_ends(queue: Queue, seconds: float, by_s: float) -> None:
    for seed in range(10):
        records = queue(rho=0.5, seed=seed, duration_s=60.0, extra_s=slower(seconds, by_s), num_servers=100)
        state = steady_state(records, 60.0)
        assert state.is_settled
        assert seconds - 0.5 <= state.start_s <= seconds + 2


def test_a_start_that_fades_is_cut_until_little_is_left(queue: Queue) -> None:
    records = queue(
        rho=0.5, seed=1, duration_s=60.0, num_servers=100, extra_s=lambda at_s: 0.3 * math.exp(-at_s / 3)
    )
    state = steady_state(records, 60.0)
    assert state.is_settled
    assert 5 <= state.start_s <= 15


@pytest.mark.parametrize("at_s", [3.0, 5.0, 10.0, 20.0, 25.0])
def test_a_stall_is_never_cut(queue: Queue, at_s: float) -> None:
    for seed in range(10):
        for rho in (0.3, 0.7):
            assert steady_state(queue(rho=rho, seed=seed, stall=(at_s, 3.0)), 30.0).start_s <= 1.0


def test_an_overloaded_run_never_settles(queue: Queue) -> None:
    for seed in range(10):
        state = steady_state(queue(rho=1.3, seed=seed), 30.0)
        assert state.is_settled is False
        assert state.start_s == 0
        assert "never settled" in state.reason


def test_a_steady_drift_is_no_steady_state(queue: Queue) -> None:
    records = queue(rho=0.3, seed=2, duration_s=60.0, extra_s=lambda at_s: 0.001 * at_s, num_servers=100)
    assert steady_state(records, 60.0).is_settled is False


def test_failures_at_the_start_are_part_of_it(queue: Queue) -> None:
    records = [
        msgspec.structs.replace(record, outcome=Outcome.CONNECT, first_token_ns=None)
        if record.intended_ns < 4e9
        else record
        for record in queue(rho=0.5, seed=3)
    ]
    state = steady_state(records, 30.0)
    assert state.is_settled
    assert state.start_s == pytest.approx(4.0, abs=0.6)


def test_a_server_that_went_away_has_no_steady_state(queue: Queue) -> None:
    records = [
        msgspec.structs.replace(record, outcome=Outcome.CONNECT, first_token_ns=None)
        if record.intended_ns > 10e9
        else record
        for record in queue(rho=0.5, seed=3)
    ]
    state = steady_state(records, 30.0)
    assert state.is_settled is False
    assert state.start_s == 0


def test_too_little_to_tell(queue: Queue) -> None:
    assert steady_state([], 30.0).is_settled is None
    state = steady_state(queue(rho=0.5, seed=1, rate_rps=1.0), 30.0)
    assert state.is_settled is None
    assert state.start_s == 0


def test_what_does_not_stream_is_judged_by_its_end(queue: Queue) -> None:
    records = [
        msgspec.structs.replace(
            record,
            is_stream=False,
            first_token_ns=None,
            end_ns=record.end_ns + (record.intended_ns < 5e9) * 10**9,
        )
        for record in queue(rho=0.3, seed=3)
    ]
    assert steady_state(records, 30.0).start_s == pytest.approx(5.0, abs=1.1)
