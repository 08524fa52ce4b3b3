"""The policy by work in the simulator: through Serve's own state, and against Serve's own policy."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from benchmarks.records import Outcome
from benchmarks.simulate.requests import Arrivals
from benchmarks.simulate.simulation import Simulated, simulate
from benchmarks.simulate.stack.serve_policy import ServeAutoscaler, serve_autoscaler
from configs.schema import AutoscalerConfig, ScalingConfig
from configs.simulation import Stack

MakeStack = Callable[..., Stack]
SCALING = ScalingConfig(
    min_replicas=0,
    max_replicas=10,
    target_ongoing_requests=4,
    autoscaler=AutoscalerConfig(
        policy="work", downscale_delay_s=20, downscale_to_zero_delay_s=60, look_back_period_s=20
    ),
)


@pytest.fixture
def autoscaler() -> Iterator[ServeAutoscaler]:
    with serve_autoscaler(SCALING) as made:
        yield made


def report(
    autoscaler: ServeAutoscaler, at_s: float, replica: str, running: float, queued: float, age_s: float = 0.0
) -> None:
    work = {"running": running, "queued": queued, "queued_tokens": 0.0, "oldest_queued_s": age_s}
    points = {name: [(at_s - 4.0, 0.0), (at_s, value)] for name, value in work.items()}
    autoscaler.report_work(replica, at_s, points)


def follow(autoscaler: ServeAutoscaler, from_s: int, to_s: int, target: int) -> list[tuple[int, int]]:
    """(second, target) of every change, when the decisions are followed at once."""
    changes = []
    for second in range(from_s, to_s):
        decision = autoscaler.decide(float(second), target)
        if decision != target:
            changes.append((second, decision))
            target = decision
            autoscaler.set_running([f"r{number}" for number in range(target)])
    return changes


def test_what_a_replica_says_now_counts_at_once(autoscaler: ServeAutoscaler) -> None:
    autoscaler.set_running(["r0"])
    assert follow(autoscaler, 90, 100, target=1) == []
    report(autoscaler, 100.0, "r0", running=4, queued=9)
    assert follow(autoscaler, 100, 102, target=1) == [(100, 4)]


def test_serves_delays_and_factors_change_nothing_of_it(autoscaler: ServeAutoscaler) -> None:
    autoscaler.set_running(["r0"])
    report(autoscaler, 100.0, "r0", running=4, queued=400)
    assert follow(autoscaler, 100, 102, target=1) == [(100, 10)]
    report(autoscaler, 102.0, "r0", running=1, queued=0)
    # The delay after the last look at the high load, and at once then.
    assert follow(autoscaler, 102, 140, target=10) == [(121, 1)]


def test_it_goes_to_zero_and_comes_back_for_a_waiting_caller(autoscaler: ServeAutoscaler) -> None:
    autoscaler.set_running(["r0"])
    report(autoscaler, 100.0, "r0", running=1, queued=0)
    assert follow(autoscaler, 100, 105, target=1) == []
    report(autoscaler, 105.0, "r0", running=0, queued=0)
    assert follow(autoscaler, 105, 200, target=1) == [(164, 0)]
    autoscaler.report("caller", 200.0, [(200.0, 3.0)], {})
    assert autoscaler.decide(200.1, 0) == 1


def test_a_queue_that_ages_in_all_replicas_brings_more(autoscaler: ServeAutoscaler) -> None:
    autoscaler.set_running(["r0", "r1"])
    for second in (100, 112, 124):
        report(autoscaler, float(second), "r0", running=1, queued=1, age_s=30.0)
        report(autoscaler, float(second), "r1", running=1, queued=1, age_s=30.0)
        if second == 100:
            assert follow(autoscaler, 100, 112, target=2) == []
    # 5 s, and as long as a report can be on its way (4 s and 10 s), after the first look.
    assert follow(autoscaler, 112, 125, target=2) == [(119, 4)]


# ---------------------------------------------------------------- whole simulations


def bursts(num: int, every_s: float = 60.0) -> Arrivals:
    """A steady trickle, and thirty requests within three seconds of every minute."""
    starts = [burst * every_s + np.arange(0, 3, 0.1) for burst in range(num)]
    at_s = np.sort(np.concatenate([*starts, np.arange(0.5, num * every_s, 2.0)]))
    return Arrivals(at_s, np.full(len(at_s), 50), np.full(len(at_s), 200), num * every_s)


def run(make_stack: MakeStack, **autoscaler: object) -> Simulated:
    scaling = {
        "max_replicas": 12,
        "target_ongoing_requests": 4,
        "max_ongoing_requests": 8,
        "max_queued_requests": 1000,
        # Records every 2 s: shorter bursts would be seen by chance.
        "autoscaler": {"downscale_delay_s": 120, "look_back_period_s": 10, "metrics_interval_s": 5}
        | autoscaler,
    }
    return simulate(bursts(20), make_stack(scaling=scaling), seed=1, timeout_s=60.0)


def ttft_p95_s(simulated: Simulated) -> float:
    return float(
        np.percentile([(r.first_token_ns or 1e18) - r.intended_ns for r in simulated.records], 95) / 1e9
    )


def test_bursts_are_met_sooner_than_by_serves_own_policy_and_without_flapping(make_stack: MakeStack) -> None:
    work = run(make_stack, policy="work")
    requests = run(make_stack, policy="ongoing_requests")
    assert {record.outcome for record in work.records} == {Outcome.OK}
    assert ttft_p95_s(work) < ttft_p95_s(requests)
    assert work.num_turns <= 2
    assert work.num_ups + work.num_downs <= 6


def test_the_seed_decides_what_replicas_report_too(make_stack: MakeStack) -> None:
    assert run(make_stack, policy="work") == run(make_stack, policy="work")


def test_replicas_are_counted_from_when_they_were_asked_for(make_stack: MakeStack) -> None:
    made = run(make_stack, policy="work")
    assert made.held_replica_seconds > made.replica_seconds
    fixed = simulate(bursts(2), make_stack(), seed=1, timeout_s=60.0)
    assert (fixed.num_ups, fixed.num_downs, fixed.num_turns) == (0, 0, 0)
    assert fixed.held_replica_seconds == pytest.approx(fixed.replica_seconds)
