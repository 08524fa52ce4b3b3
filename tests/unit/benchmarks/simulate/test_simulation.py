from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.records import Outcome
from benchmarks.simulate.requests import Arrivals
from benchmarks.simulate.simulation import Simulated, simulate
from configs.simulation import Stack

MakeStack = Callable[..., Stack]
ELASTIC = {
    "min_replicas": 1,
    "max_replicas": 8,
    "target_ongoing_requests": 2,
    "max_ongoing_requests": 4,
    "max_queued_requests": 1000,
    "autoscaler": {
        "policy": "ongoing_requests",
        "upscale_delay_s": 5,
        "downscale_delay_s": 20,
        "look_back_period_s": 15,
    },
}


def steady(rate_rps: float, duration_s: float, **changes: object) -> Arrivals:
    at_s = np.arange(0.0, duration_s, 1.0 / rate_rps)
    lengths = {"num_prompt_tokens": 50, "num_output_tokens": 100} | changes
    return Arrivals(
        at_s,
        np.full(len(at_s), lengths["num_prompt_tokens"]),
        np.full(len(at_s), lengths["num_output_tokens"]),
        duration_s,
    )


def run(arrivals: Arrivals, stack: Stack, **changes: object) -> Simulated:
    settings = {"seed": 1, "timeout_s": 60.0} | changes
    return simulate(arrivals, stack, **settings)  # type: ignore[arg-type]


def test_one_request_is_timed_from_its_arrival(make_stack: MakeStack) -> None:
    stack = make_stack()
    service = stack.service.model_copy(update={"overhead_ms": 7.0})
    arrivals = Arrivals(np.array([1.0]), np.array([50]), np.array([3]), 2.0)
    (record,) = run(arrivals, stack.model_copy(update={"service": service}), keep_token_times=True).records
    assert record.outcome is Outcome.OK
    assert record.intended_ns == record.sent_ns == 1_000_000_000
    assert record.first_token_ns == 1_000_000_000 + 7_000_000 + 15_000_000
    assert record.gaps_us == [11_000, 11_000]
    assert (record.num_pieces, record.num_output_tokens, record.num_prompt_tokens) == (3, 3, 50)
    assert record.end_ns == record.last_token_ns


def test_the_seed_decides_everything(make_stack: MakeStack) -> None:
    stack = make_stack(scaling=ELASTIC)
    stack = stack.model_copy(
        update={"service": stack.service.model_copy(update={"overhead_ms": (1.0, 2.0, 30.0)})}
    )
    first, again, other = (run(steady(5, 30), stack, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.records != other.records


def test_every_request_ends_once_whatever_happens(make_stack: MakeStack) -> None:
    overloaded = run(
        steady(20, 30),
        make_stack(scaling={"max_ongoing_requests": 2, "max_queued_requests": 20}),
        timeout_s=5.0,
    )
    outcomes = [record.outcome for record in overloaded.records]
    assert [record.index for record in overloaded.records] == list(range(600))
    assert set(outcomes) == {Outcome.OK, Outcome.REFUSED, Outcome.TIMEOUT}
    for record in overloaded.records:
        if record.outcome is Outcome.TIMEOUT:
            assert record.end_ns - record.intended_ns == pytest.approx(5e9, abs=2)
        if record.outcome is Outcome.REFUSED:
            assert record.status == 429
            assert record.first_token_ns is None


def test_replicas_follow_the_load_up_and_down(make_stack: MakeStack) -> None:
    busy = steady(6, 120)
    made = run(
        Arrivals(busy.at_s, busy.num_prompt_tokens, busy.num_output_tokens, 200.0),
        make_stack(scaling=ELASTIC),
    )
    assert (made.min_replicas, made.samples[0].num_running) == (1, 1)
    assert made.max_replicas > 2
    assert made.samples[-1].num_running == 1
    assert 1 < made.replica_seconds / made.end_s < made.max_replicas
    ttft = [(r.first_token_ns or 0) - r.intended_ns for r in made.records]
    assert np.median(ttft[-100:]) < np.median(ttft[50:150])  # more replicas help


def test_a_deployment_that_sleeps_wakes_for_a_request(make_stack: MakeStack) -> None:
    scaling = ELASTIC | {"min_replicas": 0}
    (record,) = run(
        Arrivals(np.array([40.0]), np.array([10]), np.array([5]), 45.0), make_stack(scaling=scaling)
    ).records
    assert record.outcome is Outcome.OK
    assert record.first_token_ns is not None
    # At least the replica's start; at most that and the next record, report and look of the control loop.
    assert 45.0 < record.first_token_ns / 1e9 < 45.0 + 3.0 + 10.0 + 0.5


def test_nodes_are_counted_and_paid_for_as_long_as_they_run(make_stack: MakeStack) -> None:
    nodes = {"instance": "g6.xlarge", "max_nodes": 4, "provision_s": 10, "idle_s": 5}
    made = run(steady(6, 60), make_stack(scaling=ELASTIC, nodes=nodes))
    assert made.max_nodes == 4  # and not the eight that the policy wants
    assert made.node_seconds is not None
    assert made.node_seconds >= made.replica_seconds
    assert run(steady(1, 5), make_stack()).node_seconds is None


def test_a_higher_rate_factor_is_the_same_load_in_less_time(make_stack: MakeStack) -> None:
    made = run(steady(1, 60), make_stack(rate_factor=3))
    assert max(record.intended_ns for record in made.records) < 20e9
    assert 20.0 <= made.end_s < 25.0


def test_users_who_leave_are_told_apart_from_time_outs(make_stack: MakeStack) -> None:
    arrivals = steady(1, 10, num_output_tokens=1000)
    impatient = Arrivals(
        arrivals.at_s,
        arrivals.num_prompt_tokens,
        arrivals.num_output_tokens,
        arrivals.duration_s,
        give_up_s=np.where(np.arange(10) % 2 == 0, 0.5, np.inf),
    )
    records = run(impatient, make_stack(scaling={"max_ongoing_requests": 100})).records
    assert [record.outcome for record in records] == [Outcome.ABANDONED, Outcome.OK] * 5
    left = records[0]
    assert left.end_ns - left.intended_ns == pytest.approx(0.5e9, abs=2)
    assert left.num_output_tokens is None
    assert left.num_pieces > 20


def test_what_follows_from_an_end_arrives_after_it(make_stack: MakeStack) -> None:
    session = Arrivals(
        np.array([1.0, np.nan]),
        np.array([10, 20]),
        np.array([5, 5]),
        10.0,
        follow=lambda index, end_s: (1, end_s + 2.0) if index == 0 else None,
    )
    first, second = run(session, make_stack()).records
    assert second.intended_ns == pytest.approx(first.end_ns + 2e9, abs=2)


def test_callers_share_the_replicas(make_stack: MakeStack) -> None:
    made = run(steady(10, 30), make_stack(num_ingress_replicas=3, scaling=ELASTIC))
    assert {record.outcome for record in made.records} == {Outcome.OK}
