"""What counts as sustaining a rate honestly."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.peers.base import Reported
from benchmarks.peers.judge import judge
from benchmarks.peers.measure import Measured

Make = Callable[..., Measured]
ON_TIME = [0.0] * 500


def test_a_run_on_time_that_tells_the_truth_is_honest(measured: Make) -> None:
    verdict = judge(measured(100.0, ON_TIME), 1.0)
    assert verdict.is_honest
    assert verdict.reasons == ()


def test_lateness_is_held_against_the_bound(measured: Make) -> None:
    run = measured(100.0, [5.0 if k % 20 == 7 else 0.0 for k in range(500)])
    assert judge(run, 10.0).is_honest
    verdict = judge(run, 1.0)
    assert not verdict.is_honest
    assert "late by 5.00 ms" in verdict.reasons[0]
    assert verdict.is_far


def test_the_first_second_is_left_out_of_lateness(measured: Make) -> None:
    assert judge(measured(100.0, [5.0] * 20 + [0.0] * 480), 1.0).is_honest


def test_requests_that_never_arrive_are_not_honest(measured: Make) -> None:
    verdict = judge(measured(100.0, ON_TIME, num_due=502), 10.0)
    assert verdict.reasons == ("2 of 502 requests never arrived",)


def test_a_rate_that_is_not_reached_is_not_sustained(measured: Make) -> None:
    verdict = judge(measured(100.0, [0.2 * k for k in range(500)]), 1000.0)
    assert not verdict.is_honest
    assert verdict.reasons[0].startswith("98.0% of the rate")


@pytest.mark.parametrize(
    ("said_ms", "is_honest"), [(20.9, True), (21.1, False), (18.9, False), (None, False)]
)
def test_the_reported_ttft_is_held_against_the_truth(
    measured: Make, said_ms: float | None, *, is_honest: bool
) -> None:
    reported = Reported(20.0, said_ms, 20.0, 500, 0)
    assert judge(measured(100.0, ON_TIME, reported=reported), 10.0).is_honest == is_honest


def test_requests_that_failed_by_the_tools_own_word(measured: Make) -> None:
    assert not judge(measured(100.0, ON_TIME, reported=Reported(20.0, 20.0, 20.0, 499, 1)), 10.0).is_honest


def test_a_failure_while_the_server_was_late_is_void(measured: Make) -> None:
    late = [5.0 if k % 20 == 7 else 0.0 for k in range(500)]
    assert judge(measured(100.0, late, server_late_ms=0.6), 1.0).is_void
    assert not judge(measured(100.0, late, server_late_ms=0.4), 1.0).is_void
    assert judge(measured(100.0, ON_TIME, server_late_ms=0.6), 1.0).is_honest


def test_a_tool_that_failed_is_not_honest_and_not_tried_again(measured: Make) -> None:
    verdict = judge(measured(100.0, ON_TIME, failure="it ended with 1"), 10.0)
    assert verdict.reasons == ("it ended with 1",)
    assert verdict.is_far
    assert not verdict.is_void
