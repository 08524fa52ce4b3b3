from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.sweep.points import Point
from benchmarks.sweep.search import (
    SearchSettings,
    Stop,
    bracket,
    is_attained,
    is_sustained,
    next_listed_rate,
    next_rate,
)


def point(rate_rps: float, *, sustained: bool = True, attainment: float | None = None) -> Point:
    return Point(
        rate_rps,
        num_requests=100,
        num_errors=0,
        is_saturated=not sustained,
        attainment=attainment,
        objective=None if attainment is None else 0.95,
    )


def spoilt(rate_rps: float) -> Point:
    return Point(
        rate_rps, num_requests=100, num_errors=0, is_saturated=True, problems=("dispatch delay p99 9 ms",)
    )


def searched(measured: Callable[[float], Point], settings: SearchSettings) -> tuple[list[Point], Stop]:
    points: list[Point] = []
    while not isinstance(found := next_rate(points, settings), Stop):
        points.append(measured(found))
        assert len(points) <= settings.max_runs
    return points, found


@given(limit=st.floats(0.05, 50_000), start=st.floats(0.1, 1000), precision=st.floats(0.01, 0.5))
@settings(deadline=None)
def test_an_exact_server_is_bracketed_to_the_precision(limit: float, start: float, precision: float) -> None:
    found = SearchSettings(start_rps=start, precision=precision, max_runs=100)
    points, stop = searched(lambda rate: point(rate, sustained=rate <= limit), found)
    assert stop.is_complete
    limits = bracket(points, is_sustained)
    assert limits.low_rps is not None
    assert limits.high_rps is not None
    assert limits.low_rps <= limit < limits.high_rps
    # Rates have four digits, which matters only where the precision asks for more.
    assert limits.high_rps / limits.low_rps <= 1 + max(precision, 0.002)


def test_first_the_server_is_driven_to_its_limit_then_the_objectives_are_looked_for() -> None:
    def measured(rate: float) -> Point:
        return point(rate, sustained=rate < 100, attainment=1.0 if rate < 30 else 0.5)

    points, stop = searched(measured, SearchSettings(start_rps=5, precision=0.1, has_objectives=True))
    assert stop.is_complete
    assert [p.rate_rps for p in points[:9]] == [5, 10, 20, 40, 40, 80, 80, 160, 160]
    capacity, objectives = bracket(points, is_sustained), bracket(points, is_attained)
    assert capacity.low_rps is not None
    assert objectives.low_rps is not None
    assert 90 < capacity.low_rps < 100
    assert 27 < objectives.low_rps < 30


def test_a_start_above_the_limit_goes_down() -> None:
    points, stop = searched(lambda rate: point(rate, sustained=rate < 3), SearchSettings(start_rps=40))
    assert stop.is_complete
    assert [p.rate_rps for p in points[:8:2]] == [40, 20, 10, 5]


def test_one_failure_is_not_believed() -> None:
    points = [point(1), point(2, sustained=False)]
    assert next_rate(points, SearchSettings()) == 2
    points.append(point(2))
    assert next_rate(points, SearchSettings()) == 2  # one to one
    assert next_rate([*points, point(2)], SearchSettings()) == 4
    assert next_rate([*points, point(2, sustained=False)], SearchSettings()) == pytest.approx(1.414)


def test_one_missed_objective_is_not_believed_either() -> None:
    found = SearchSettings(has_objectives=True)
    assert next_rate([point(1, attainment=0.9)], found) == 1
    assert next_rate([point(1, attainment=0.9)] * 2, found) == 2


def test_what_the_client_cannot_offer_is_not_called_the_servers_limit() -> None:
    points = [point(1), point(2), spoilt(4)]
    assert next_rate(points, SearchSettings()) == 4  # it may have been a disturbance
    stop = next_rate([*points, spoilt(4)], SearchSettings())
    assert isinstance(stop, Stop)
    assert not stop.is_complete
    assert "not the server's limit" in stop.reason
    assert "dispatch delay p99 9 ms" in stop.reason
    limits = bracket([*points, spoilt(4)], is_sustained)
    assert (limits.low_rps, limits.high_rps) == (2, None)


def test_a_disturbed_client_is_forgiven_once() -> None:
    assert next_rate([point(1), spoilt(2), point(2)], SearchSettings()) == 4


def test_turning_requests_away_is_not_sustaining() -> None:
    refusing = Point(8, num_requests=100, num_errors=2, is_saturated=False)
    assert not refusing.is_sustained
    assert Point(8, num_requests=100, num_errors=1, is_saturated=False).is_sustained


def test_an_over_saturated_run_attains_nothing() -> None:
    assert not point(8, sustained=False, attainment=1.0).is_attained


def test_a_server_that_is_gone_ends_the_sweep() -> None:
    gone = Point(4, num_requests=100, num_errors=100, is_saturated=False)
    stop = next_rate([point(2), gone], SearchSettings())
    assert isinstance(stop, Stop)
    assert "every request failed at 4" in stop.reason


def test_an_interrupted_run_ends_the_sweep_and_does_not_count() -> None:
    cut = Point(4, num_requests=10, num_errors=0, is_saturated=True, was_interrupted=True)
    stop = next_rate([point(2), cut], SearchSettings())
    assert stop == Stop("interrupted", "interrupted")
    assert bracket([point(2), cut], is_sustained).high_rps is None


def test_bounds_are_kept() -> None:
    points, stop = searched(point, SearchSettings(start_rps=3, max_rps=20))
    assert [p.rate_rps for p in points] == [3, 6, 12, 20]
    assert "20 requests/s are sustained" in stop.reason
    points, stop = searched(lambda rate: point(rate, sustained=False), SearchSettings(start_rps=3, min_rps=1))
    assert [p.rate_rps for p in points] == [3, 3, 1.5, 1.5, 1, 1]
    assert stop.reason == "not even 1 requests/s are sustained"
    points, stop = searched(point, SearchSettings(max_runs=3))
    assert len(points) == 3
    assert not stop.is_complete


def test_objectives_that_nothing_attains_are_said_so() -> None:
    def measured(rate: float) -> Point:
        return point(rate, sustained=rate < 10, attainment=0.1)

    points, stop = searched(measured, SearchSettings(min_rps=0.5, has_objectives=True))
    assert stop.reason == "not even 0.5 requests/s are within the objectives"
    assert bracket(points, is_sustained).low_rps is not None


def test_a_pass_above_a_failure_is_luck() -> None:
    points = [point(1), *[point(2, sustained=False)] * 2, point(4)]
    assert bracket(points, is_sustained).high_rps == 2
    assert bracket(points, is_sustained).low_rps == 1


def test_a_failure_that_nobody_repeated_is_a_limit_all_the_same() -> None:
    limits = bracket([point(2), point(4), point(8, sustained=False)], is_sustained)
    assert (limits.low_rps, limits.high_rps) == (4, 8)


def test_listed_rates_run_upwards_until_one_is_too_much() -> None:
    assert next_listed_rate([], [8, 2, 4]) == 2
    assert next_listed_rate([point(2)], [8, 2, 4]) == 4
    stop = next_listed_rate([point(2), point(4, sustained=False)], [8, 2, 4])
    assert isinstance(stop, Stop)
    assert "fell behind at 4" in stop.reason
    assert next_listed_rate([point(2), point(4), point(8)], [8, 2, 4]) == Stop(
        "every listed rate was measured", "complete"
    )
    spent = next_listed_rate([point(2), spoilt(4)], [8, 2, 4])
    assert isinstance(spent, Stop)
    assert "not the server's limit" in spent.reason
