from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from benchmarks.records import Outcome
from benchmarks.simulate.stack.events import Events
from benchmarks.simulate.stack.fleet import Fleet
from benchmarks.simulate.stack.nodes import Nodes
from benchmarks.simulate.stack.replica import Replica, Request
from configs.simulation import Stack

MakeStack = Callable[..., Stack]
NODES = {"instance": "g6.xlarge", "max_nodes": 9, "provision_s": 60, "idle_s": 30}


class Watched:
    """A fleet whose control loop looks every second, and what it said."""

    def __init__(self, stack: Stack) -> None:
        self.events = Events()
        rng = random.Random(1)
        self.running: list[tuple[float, list[str]]] = []
        self.killed: list[Request] = []
        self.nodes = Nodes(stack.nodes, self.events, rng, lambda: None) if stack.nodes else None
        self.fleet = Fleet(
            stack,
            self.events,
            self.nodes,
            rng,
            keep_token_times=False,
            on_running=self._on_running,
            on_killed=self.killed.append,
        )
        for second in range(200):
            self.events.at(float(second), lambda _: self.fleet.update())

    def _on_running(self, replicas: list[Replica]) -> None:
        self.running.append((self.events.now_s, [replica.name for replica in replicas]))

    def aim(self, at_s: float, target: int) -> None:
        def change(_: None) -> None:
            self.fleet.target = target

        self.events.at(at_s - 0.5, change)


def test_a_replica_runs_once_it_has_started_and_was_noticed(make_stack: MakeStack) -> None:
    watched = Watched(make_stack(replica_start_s=5.4))
    watched.fleet.start(1)
    watched.aim(10.0, 2)
    watched.events.run()
    assert watched.running == [(0.0, ["replica-1"]), (16.0, ["replica-1", "replica-2"])]


def test_it_waits_for_a_node_first(make_stack: MakeStack) -> None:
    watched = Watched(make_stack(nodes=NODES, replica_start_s=5.4))
    watched.fleet.start(1)
    watched.aim(10.0, 2)
    watched.events.run()
    assert watched.running[-1] == (76.0, ["replica-1", "replica-2"])


def test_fewer_are_reached_by_those_that_have_not_started_then_by_the_newest(make_stack: MakeStack) -> None:
    watched = Watched(make_stack(replica_start_s=5.4))
    watched.fleet.start(3)
    watched.aim(10.0, 4)
    watched.aim(12.0, 2)
    watched.events.run()
    assert watched.running[1:] == [(12.0, ["replica-1", "replica-2"])]


def test_the_emptiest_node_is_left_first(make_stack: MakeStack) -> None:
    watched = Watched(make_stack(nodes=NODES | {"replicas_per_node": 2}))
    watched.fleet.start(3)  # on two nodes: 1 and 3, and 2
    watched.aim(10.0, 2)
    watched.events.run()
    assert watched.running[-1] == (10.0, ["replica-1", "replica-3"])
    assert watched.nodes is not None
    assert watched.nodes.num_nodes == 1


@pytest.mark.parametrize(("num_output", "is_killed"), [(100, False), (100_000, True)])
def test_who_stops_ends_what_it_has_within_its_time(
    make_stack: MakeStack,
    num_output: int,
    is_killed: bool,
) -> None:
    watched = Watched(make_stack(scaling={"graceful_shutdown_timeout_s": 7, "min_replicas": 0}))
    watched.fleet.start(1)
    (replica,) = watched.fleet.running
    request = Request(0, 0.0, 10, num_output)

    def on_end(ended: Request) -> None:
        ended.outcome = Outcome.OK

    request.on_end = on_end
    watched.events.at(9.0, replica.accept, request)
    watched.aim(10.0, 0)
    gone: list[int] = []
    watched.events.at(16.9, lambda _: gone.append(watched.fleet.num_draining))
    watched.events.at(17.1, lambda _: gone.append(watched.fleet.num_draining))
    watched.events.at(17.2, lambda _: watched.events.stop())
    watched.events.run()
    assert watched.killed == ([request] if is_killed else [])
    assert gone == ([1, 0] if is_killed else [0, 0])
