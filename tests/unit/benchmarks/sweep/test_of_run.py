from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.records import ClientSample
from benchmarks.run.execute import INTERRUPTED, Run
from benchmarks.run.progress import Progress
from benchmarks.sweep.of_run import SATURATED, point_of, stop_when_saturated
from configs.workload import Objectives

MakeRun = Callable[..., Run]
LIMITS = Objectives(ttft_ms=50.0, attainment=0.9)


def progress(in_flight: list[int], *, duration_s: float = 60.0) -> Progress:
    samples = tuple(
        ClientSample(
            worker=0,
            at_s=float(second),
            num_sent=100,
            num_ended=90,
            num_in_flight=num,
            num_connections=num,
            cpu=0.1,
            cpu_wait=0.0,
            lag_max_ms=0.1,
            lag_p50_ms=0.1,
            lag_p99_ms=0.1,
            ttft_ms=[float(num)] * 5,
        )
        for second, num in enumerate(in_flight, 1)
    )
    return Progress(float(len(samples)), duration_s, 6000, 0, 0, 0, {}, samples)


def test_a_good_run_is_sustained_and_attains(made_run: MakeRun) -> None:
    point = point_of(made_run([20.0] * 195 + [90.0] * 5, objectives=LIMITS), 10.0)
    assert point.is_sustained
    assert point.is_attained
    assert (point.num_requests, point.num_errors) == (200, 0)
    assert point.attainment == pytest.approx(0.975)
    assert point.goodput_rps == pytest.approx(9.75)
    assert point.latencies_ms["ttft"]["p50"] == pytest.approx(20.0, rel=0.002)
    assert point.folder == "run"


def test_missed_objectives_are_not_attained(made_run: MakeRun) -> None:
    point = point_of(made_run([20.0] * 150 + [90.0] * 50, objectives=LIMITS), 10.0)
    assert point.is_sustained
    assert not point.is_attained
    assert point.is_valid


def test_failures_count_and_are_not_sustained(made_run: MakeRun) -> None:
    point = point_of(made_run([20.0] * 190 + [None] * 10, objectives=LIMITS), 10.0)
    assert point.num_errors == 10
    assert not point.is_sustained


def test_without_objectives_there_is_no_attainment(made_run: MakeRun) -> None:
    point = point_of(made_run([20.0] * 200), 10.0)
    assert point.attainment is None
    assert point.objective is None
    assert point.goodput_rps is None


def test_a_late_client_cannot_spoil_objectives_that_are_met(made_run: MakeRun) -> None:
    assert point_of(made_run([20.0] * 200, objectives=LIMITS, lag_ms=5.0), 10.0).is_valid


def test_a_late_client_may_be_why_objectives_are_missed(made_run: MakeRun) -> None:
    point = point_of(made_run([52.0] * 200, objectives=LIMITS, lag_ms=5.0), 10.0)
    assert not point.is_valid
    assert "without it the objective of 50 ms would be met" in point.problems[0]


def test_a_late_client_is_no_excuse_for_a_server_that_is_far_too_slow(made_run: MakeRun) -> None:
    point = point_of(made_run([70.0] * 200, objectives=LIMITS, lag_ms=5.0), 10.0)
    assert point.is_valid
    assert not point.is_attained


def test_a_client_that_cannot_keep_up_is_never_valid(made_run: MakeRun) -> None:
    assert not point_of(made_run([20.0] * 200, cpu=0.99), 10.0).is_valid


def test_a_run_that_was_stopped_for_its_queue_is_saturated(made_run: MakeRun) -> None:
    point = point_of(made_run([20.0] * 50, stopped_because=SATURATED + "it grows"), 10.0)
    assert point.is_saturated is True
    assert point.saturation == SATURATED + "it grows"
    assert not point.was_interrupted


def test_ctrl_c_is_no_saturation(made_run: MakeRun) -> None:
    point = point_of(made_run([20.0] * 200, stopped_because=INTERRUPTED), 10.0)
    assert point.was_interrupted
    assert point.is_saturated is not True
    assert not point.is_valid


def test_a_queue_that_grows_stops_the_run() -> None:
    stop = stop_when_saturated(100.0)
    assert stop(progress([10] * 30)) is None
    reason = stop(progress([20 * second for second in range(30)]))
    assert reason is not None
    assert reason.startswith(SATURATED)


def test_what_is_left_after_the_last_arrival_is_no_queue_that_grows() -> None:
    growing = progress([20 * second for second in range(30)], duration_s=20.0)
    assert stop_when_saturated(100.0)(growing) is None
