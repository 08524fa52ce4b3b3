from __future__ import annotations

import random

import pytest

from benchmarks.records import Outcome
from benchmarks.simulate.stack.events import Events
from benchmarks.simulate.stack.replica import Replica, Request
from benchmarks.simulate.stack.router import Router
from configs.simulation import ServiceModel


class Bench:
    """Two routers over some replicas."""

    def __init__(self, service: ServiceModel, num_replicas: int, **limits: int) -> None:
        self.events = Events()
        self.ended: list[Request] = []
        self.replicas = [
            Replica(f"replica-{number}", self.events, service, keep_token_times=False)
            for number in range(num_replicas)
        ]
        settings = {"max_ongoing_requests": 2, "max_queued_requests": 10} | limits
        self.routers = [
            Router(self.events, random.Random(7), on_end=self.ended.append, **settings) for _ in range(2)
        ]
        for router in self.routers:
            router.set_replicas(self.replicas)
        self.num_asked = 0

    def ask(self, num_output: int = 10, caller: int = 0) -> Request:
        request = Request(self.num_asked, self.events.now_s, 10, num_output)
        self.num_asked += 1
        self.routers[caller].assign(request)
        return request


def test_requests_spread_over_idle_replicas(service: ServiceModel) -> None:
    bench = Bench(service, 2)
    asked = [bench.ask() for _ in range(2)]
    assert {request.replica for request in asked} == set(bench.replicas)


def test_two_choices_keep_many_replicas_even(service: ServiceModel) -> None:
    bench = Bench(service, 50, max_ongoing_requests=100)
    for _ in range(50 * 8):
        bench.ask()
    # The gap between the fullest and the mean grows with log log n; one choice would be near 8 here.
    assert max(replica.num_ongoing for replica in bench.replicas) <= 8 + 3


def test_a_full_deployment_queues_and_then_refuses(service: ServiceModel) -> None:
    bench = Bench(service, 1, max_queued_requests=1)
    asked = [bench.ask() for _ in range(4)]
    assert [request.outcome for request in asked] == [None, None, None, Outcome.REFUSED]
    assert bench.routers[0].num_queued == 1
    bench.events.run()
    assert [request.outcome for request in asked[:3]] == [Outcome.OK] * 3
    assert bench.routers[0].num_queued == 0


def test_a_queued_request_starts_at_an_attempt_and_not_when_a_place_becomes_free(
    service: ServiceModel,
) -> None:
    bench = Bench(service, 1, max_ongoing_requests=1)
    first = bench.ask(num_output=3)  # ends at 33 ms
    second = bench.ask(num_output=1)
    bench.events.run()
    assert first.ended_s == pytest.approx(0.033)
    # Attempts: at once, again at once, after 25 ms, after 50 ms more.
    assert second.first_s == pytest.approx(0.075 + 0.011)


def test_a_free_place_goes_to_who_waited_longest(service: ServiceModel) -> None:
    bench = Bench(service, 1, max_ongoing_requests=1)
    for _ in range(5):
        bench.ask()
    bench.events.run()
    assert [request.index for request in bench.ended] == [0, 1, 2, 3, 4]


def test_without_a_replica_requests_wait_for_one(service: ServiceModel) -> None:
    bench = Bench(service, 0)
    request = bench.ask()
    late = Replica("late", bench.events, service, keep_token_times=False)
    bench.events.at(3.0, bench.routers[0].set_replicas, [late])
    bench.events.run()
    assert request.replica is late
    assert request.first_s == pytest.approx(3.011)


def test_another_callers_requests_are_noticed_when_a_replica_rejects(service: ServiceModel) -> None:
    bench = Bench(service, 1)
    first = [bench.ask(caller=0) for _ in range(2)]
    other = bench.ask(caller=1)  # believes that the replica is empty
    assert other.replica is None
    assert bench.replicas[0].num_ongoing == 2
    bench.events.run()
    assert [request.outcome for request in (*first, other)] == [Outcome.OK] * 3


@pytest.mark.parametrize("is_queued", [True, False])
def test_who_leaves_makes_room(service: ServiceModel, is_queued: bool) -> None:
    bench = Bench(service, 1, max_ongoing_requests=1)
    running, queued = bench.ask(num_output=1000), bench.ask(num_output=1)
    leaver, stayer = (queued, running) if is_queued else (running, queued)
    leaver.outcome = Outcome.ABANDONED
    bench.routers[0].withdraw(leaver)
    bench.events.run()
    assert stayer.outcome is Outcome.OK
    assert bench.routers[0].num_queued == 0
    assert bench.routers[0].sent == {bench.replicas[0]: 0}
    assert bench.ended == [stayer]


def test_a_burst_is_split_evenly(service: ServiceModel) -> None:
    bench = Bench(service, 2, max_ongoing_requests=20)
    asked = [bench.ask() for _ in range(12)]
    assert sum(request.replica is bench.replicas[0] for request in asked) == 6


def test_a_burst_that_fits_exactly_has_places_for_all(service: ServiceModel) -> None:
    bench = Bench(service, 2, max_ongoing_requests=3)
    asked = [bench.ask() for _ in range(6)]
    bench.events.run()
    assert [request.outcome for request in asked] == [Outcome.OK] * 6
