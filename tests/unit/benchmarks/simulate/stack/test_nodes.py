from __future__ import annotations

import random

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.simulate.prices import usd_per_hour
from benchmarks.simulate.stack.events import Events
from benchmarks.simulate.stack.nodes import Node, Nodes
from configs.simulation import NodePool


class Pool:
    """A pool, who got a place when, and how many nodes there were when."""

    def __init__(self, **changes: object) -> None:
        settings: dict[str, object] = {
            "instance": "g6.xlarge",
            "replicas_per_node": 2,
            "max_nodes": 3,
            "provision_s": 60.0,
            "first_start_s": 30.0,
            "idle_s": 10.0,
        }
        self.events = Events()
        self.counts: list[tuple[float, int]] = []
        self.placed: list[tuple[float, Node, float]] = []
        self.nodes = Nodes(
            NodePool.model_validate(settings | changes), self.events, random.Random(1), self._count
        )

    def _count(self) -> None:
        self.counts.append((self.events.now_s, self.nodes.num_nodes))

    def place(self, node: Node, extra_s: float) -> None:
        self.placed.append((self.events.now_s, node, extra_s))


def test_replicas_share_a_node_that_is_asked_for_once() -> None:
    pool = Pool()
    for _ in range(2):
        pool.nodes.place(pool.place)
    pool.events.run()
    assert pool.counts == [(0.0, 1)]
    assert [(at, extra_s) for at, _, extra_s in pool.placed] == [(60.0, 30.0), (60.0, 0.0)]


def test_the_pool_has_an_end_and_who_waits_gets_what_is_released() -> None:
    pool = Pool(max_nodes=1, replicas_per_node=1)
    for _ in range(2):
        pool.nodes.place(pool.place)
    pool.events.at(100.0, lambda _: pool.nodes.release(pool.placed[0][1]))
    pool.events.run()
    assert [at for at, _, _ in pool.placed] == [60.0, 100.0]
    assert pool.counts == [(0.0, 1)]


def test_an_empty_node_goes_after_a_while_unless_it_is_needed_again() -> None:
    pool = Pool()
    (node,) = pool.nodes.start(1)
    pool.nodes.release(node)
    pool.events.at(5.0, lambda _: pool.nodes.place(pool.place))
    pool.events.at(20.0, lambda _: pool.nodes.release(node))
    pool.events.run()
    assert pool.counts == [(30.0, 0)]


def test_the_least_nodes_stay() -> None:
    pool = Pool(min_nodes=1)
    places = pool.nodes.start(4)
    assert pool.nodes.num_nodes == 2
    for node in places:
        pool.nodes.release(node)
    pool.events.run()
    assert pool.nodes.num_nodes == 1


def test_a_place_that_is_not_needed_any_more_is_not_given() -> None:
    pool = Pool()
    pool.nodes.place(pool.place)
    pool.nodes.withdraw(pool.place)
    pool.events.run()
    assert pool.placed == []
    assert pool.counts == [(0.0, 1), (70.0, 0)]  # the node comes all the same, and goes again


def test_more_first_replicas_than_places_are_refused() -> None:
    with pytest.raises(ValueError, match="7 replicas do not fit on 3 nodes"):
        Pool().nodes.start(7)


def test_a_price_is_given_or_known_and_never_guessed() -> None:
    assert usd_per_hour("g6.xlarge", None) == 0.8048
    assert usd_per_hour("g6.xlarge", 0.3) == 0.3
    with pytest.raises(BenchmarkError, match=r"x1\.tiny.*nodes\.usd_per_hour"):
        usd_per_hour("x1.tiny", None)
