"""The nodes that replicas run on: where a replica finds a place, and how many nodes that takes.

A replica without a place asks for a node, and gets its place when the node is ready; a node that has been
empty for `idle_s` goes. Replicas spread: each goes to the node with the fewest. A node is paid for from
the moment it is asked for, which is a little too early.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable

from benchmarks.simulate.stack.draws import draw
from benchmarks.simulate.stack.events import Events
from configs.simulation import NodePool


class Node:
    """One node. `num_replicas` counts those that have a place on it."""

    __slots__ = ("emptied_s", "is_fresh", "num_replicas")

    def __init__(self) -> None:
        self.num_replicas = 0
        self.is_fresh = True  # no replica has started on it yet
        self.emptied_s = 0.0


# What waits for a place: is told the node, and how much longer the node's first replica takes.
Placed = Callable[[Node, float], None]


class Nodes:
    """The pool. `num_nodes` counts those that are paid for."""

    def __init__(
        self, pool: NodePool, events: Events, rng: random.Random, on_change: Callable[[], None]
    ) -> None:
        self._pool = pool
        self._events = events
        self._rng = rng
        self._on_change = on_change
        self._ready: list[Node] = []
        self._num_coming = 0
        self._waiting: deque[Placed] = deque()

    @property
    def num_nodes(self) -> int:
        return len(self._ready) + self._num_coming

    def start(self, num_replicas: int) -> list[Node]:
        """The nodes of replicas that run from the start, one entry for each of these."""
        num_needed = max(self._pool.min_nodes, -(-num_replicas // self._pool.replicas_per_node))
        if num_needed > self._pool.max_nodes:
            raise ValueError(f"{num_replicas} replicas do not fit on {self._pool.max_nodes} nodes")
        self._ready = [Node() for _ in range(num_needed)]
        places = []
        for _ in range(num_replicas):
            node = min(self._ready, key=lambda candidate: candidate.num_replicas)
            node.num_replicas += 1
            node.is_fresh = False
            places.append(node)
        return places

    def place(self, placed: Placed) -> None:
        """Call `placed` now if a node has room, otherwise when one does."""
        self._waiting.append(placed)
        self._serve()

    def withdraw(self, placed: Placed) -> None:
        """Nobody needs this place any more."""
        self._waiting.remove(placed)

    def release(self, node: Node) -> None:
        node.num_replicas -= 1
        if not node.num_replicas:
            self._watch(node)
        self._serve()

    def _serve(self) -> None:
        while self._waiting:
            free = [node for node in self._ready if node.num_replicas < self._pool.replicas_per_node]
            if not free:
                break
            node = min(free, key=lambda candidate: candidate.num_replicas)
            node.num_replicas += 1
            extra_s = draw(self._pool.first_start_s, self._rng) if node.is_fresh else 0.0
            node.is_fresh = False
            self._waiting.popleft()(node, extra_s)
        num_missing = -(-len(self._waiting) // self._pool.replicas_per_node) - self._num_coming
        for _ in range(min(num_missing, self._pool.max_nodes - self.num_nodes)):
            self._num_coming += 1
            self._events.at(self._events.now_s + draw(self._pool.provision_s, self._rng), self._come)
            self._on_change()

    def _come(self, _: None) -> None:
        self._num_coming -= 1
        node = Node()
        self._ready.append(node)
        self._serve()
        if not node.num_replicas:
            self._watch(node)

    def _watch(self, node: Node) -> None:
        node.emptied_s = self._events.now_s
        self._events.at(self._events.now_s + self._pool.idle_s, self._go_if_empty, (node, node.emptied_s))

    def _go_if_empty(self, watched: tuple[Node, float]) -> None:
        node, since_s = watched
        is_empty = not node.num_replicas and node.emptied_s == since_s
        if is_empty and node in self._ready and self.num_nodes > self._pool.min_nodes:
            self._ready.remove(node)
            self._on_change()
