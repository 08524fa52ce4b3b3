from __future__ import annotations

import importlib
import itertools
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from benchmarks.simulate.stack.autoscaler import Points, Reporter, WorkReporter
from benchmarks.simulate.stack.events import Events
from benchmarks.simulate.stack.replica import Replica, Request
from benchmarks.simulate.stack.router import Router
from benchmarks.simulate.stack.serve_policy import ServeAutoscaler, serve_autoscaler
from configs.schema import AutoscalerConfig, ScalingConfig
from configs.simulation import ServiceModel

SCALING = ScalingConfig(
    min_replicas=1,
    max_replicas=10,
    target_ongoing_requests=4,
    autoscaler=AutoscalerConfig(
        policy="ongoing_requests", upscale_delay_s=5, downscale_delay_s=20, look_back_period_s=20
    ),
)


@pytest.fixture
def autoscaler() -> Iterator[ServeAutoscaler]:
    with serve_autoscaler(SCALING) as made:
        yield made


def steady(value: float, until_s: float) -> list[tuple[float, float]]:
    return [(until_s - 4.0 * n, value) for n in range(4, -1, -1)]


def decide(autoscaler: ServeAutoscaler, from_s: int, to_s: int, target: int) -> list[tuple[int, int]]:
    """(second, target) of every change, when the decisions are followed at once."""
    changes = []
    for second in range(from_s, to_s):
        decision = autoscaler.decide(float(second), target)
        if decision != target:
            changes.append((second, decision))
            target = decision
            autoscaler.set_running([f"r{number}" for number in range(target)])
    return changes


def test_serves_policy_scales_up_after_its_delay_in_simulated_time(autoscaler: ServeAutoscaler) -> None:
    autoscaler.set_running(["r0"])
    autoscaler.report("caller", 100.0, steady(0.0, 100.0), {"r0": steady(12.0, 100.0)})
    # 12 requests at 4 a replica.
    assert decide(autoscaler, 100, 110, target=1) == [(105, 3)]


def test_queued_requests_count_too_and_the_bounds_hold(autoscaler: ServeAutoscaler) -> None:
    autoscaler.set_running(["r0"])
    autoscaler.report("caller", 100.0, steady(100.0, 100.0), {"r0": steady(4.0, 100.0)})
    assert decide(autoscaler, 100, 110, target=1) == [(105, 10)]


def test_it_scales_down_after_its_delay(autoscaler: ServeAutoscaler) -> None:
    autoscaler.set_running(["r0", "r1", "r2"])
    quiet = {name: steady(1.0, 100.0) for name in ("r0", "r1", "r2")}
    autoscaler.report("caller", 100.0, steady(0.0, 100.0), quiet)
    assert decide(autoscaler, 100, 125, target=3)[0] == (120, 1)


def test_the_load_is_averaged_over_what_was_recorded(autoscaler: ServeAutoscaler) -> None:
    autoscaler.set_running(["r0"])
    burst = [*steady(0.0, 96.0)[1:], (100.0, 40.0)]
    autoscaler.report("caller", 100.0, steady(0.0, 100.0), {"r0": burst})
    # 40 requests since no time at all, after 16 s of none.
    assert decide(autoscaler, 100, 101, target=1) == []
    autoscaler.report("caller", 101.0, steady(0.0, 100.0), {"r0": burst})
    assert autoscaler.decide(101.0, 1) == 1


def test_serves_modules_get_their_own_clock_back() -> None:
    names = ("ray.serve.autoscaling_policy", "ray.serve._private.autoscaling_state")
    modules: list[Any] = [importlib.import_module(name) for name in names]
    with serve_autoscaler(SCALING):
        assert all(module.time is not time for module in modules)
    assert all(module.time is time for module in modules)


def test_scaling_starts_with_the_initial_replicas() -> None:
    scaling = SCALING.model_copy(update={"autoscaler": AutoscalerConfig(initial_replicas=4)})
    with serve_autoscaler(scaling) as made:
        assert made.initial_replicas == 4


def test_a_short_metrics_interval_is_no_matter() -> None:
    autoscaler = AutoscalerConfig(metrics_interval_s=1, look_back_period_s=5)
    with serve_autoscaler(SCALING.model_copy(update={"autoscaler": autoscaler})) as made:
        assert made.initial_replicas == 1


class Heard:
    """A policy that keeps what is reported."""

    def __init__(self) -> None:
        self.reports: list[tuple[float, Points, Mapping[str, Points]]] = []
        self.work: list[tuple[float, Mapping[str, Points]]] = []

    def set_running(self, names: Sequence[str]) -> None: ...

    def report(self, caller: str, at_s: float, queued: Points, running: Mapping[str, Points]) -> None:
        kept = {name: tuple(points) for name, points in running.items()}
        self.reports.append((at_s, tuple(queued), kept))

    def report_work(self, replica: str, at_s: float, work: Mapping[str, Points]) -> None:
        self.work.append((at_s, {name: tuple(points) for name, points in work.items()}))

    def decide(self, at_s: float, num_target: int) -> int:
        return num_target


def test_a_caller_records_within_the_look_back_and_reports_each_interval(
    events: Events, service: ServiceModel
) -> None:
    heard = Heard()
    router = Router(
        events,
        random.Random(1),
        max_ongoing_requests=8,
        max_queued_requests=8,
        on_end=lambda _: None,
    )
    replica = Replica("r0", events, service, keep_token_times=False)
    router.set_replicas([replica])
    config = AutoscalerConfig(look_back_period_s=10, metrics_interval_s=4)
    Reporter("caller", router, heard, config, events).start(random.Random(2), [replica])
    for _ in range(3):
        events.at(5.0, router.assign, Request(0, 5.0, 10, 10_000))
    events.at(30.0, lambda _: events.stop())
    events.run()

    at_s = [report[0] for report in heard.reports[1:]]
    assert [after - before for before, after in itertools.pairwise(at_s)] == pytest.approx(
        [4.0] * (len(at_s) - 1)
    )
    for reported_s, queued, running in heard.reports:
        points = running["r0"]
        assert len(points) == len(queued)
        assert all(reported_s - 10 <= at <= reported_s for at, _ in points)
        assert [value for _, value in points] == [3.0 if at >= 5.0 else 0.0 for at, _ in points]
        gaps = [after - before for (before, _), (after, _) in itertools.pairwise(points)]
        assert gaps == pytest.approx([2.0] * len(gaps))


def test_a_replica_records_its_work_from_its_start_until_it_takes_no_more(
    events: Events, service: ServiceModel
) -> None:
    heard = Heard()
    replica = Replica("r0", events, service, keep_token_times=False)
    config = AutoscalerConfig(look_back_period_s=10, metrics_interval_s=4)
    reporter = WorkReporter(replica, heard, config, events)
    events.at(3.0, lambda _: reporter.start())
    for number in range(6):
        events.at(8.0, replica.accept, Request(number, 8.0, 10, 10_000))
    events.at(20.0, lambda _: reporter.stop())
    events.at(40.0, lambda _: events.stop())
    events.run()

    assert [at_s for at_s, _ in heard.work] == [3.0, 7.0, 11.0, 15.0, 19.0]
    last = heard.work[-1][1]
    # What is recorded at the moment of a report goes with the next one.
    assert [at for at, _ in last["running"]] == [7.0, 9.0, 11.0, 13.0, 15.0, 17.0]
    assert [value for _, value in last["running"]] == [0.0, 4.0, 4.0, 4.0, 4.0, 4.0]  # the batch's places
    assert last["queued"][-1] == (17.0, 2.0)
    assert last["queued_tokens"][-1] == (17.0, 20.0)
    assert last["oldest_queued_s"][-1] == (17.0, 9.0)
