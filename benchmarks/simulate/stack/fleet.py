"""The replicas over time: those that start, run and drain, until there are as many as are aimed at.

A replica needs a place on a node, then `replica_start_s`; the control loop then notices that it runs, and
tells the callers. Fewer are reached as Serve does it: first those that have not started, then those on
the emptiest nodes, the newest first. One that stops takes no more requests, and has
`graceful_shutdown_timeout_s` to end those that it has.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from benchmarks.simulate.stack.draws import draw
from benchmarks.simulate.stack.events import Events
from benchmarks.simulate.stack.meters import Meter
from benchmarks.simulate.stack.nodes import Node, Nodes
from benchmarks.simulate.stack.replica import Replica, Request
from configs.simulation import Stack

# Seconds between two looks at whether a replica that stops is idle: Serve's graceful_shutdown_wait_loop_s.
DRAIN_CHECK_S = 2.0


class Member:
    """A replica from the decision to start it until its place is free again."""

    __slots__ = ("is_stopped", "node", "number", "on_place", "ready_s", "replica", "stops_at_s")

    def __init__(self, number: int) -> None:
        self.number = number  # the higher the newer
        self.node: Node | None = None
        self.ready_s: float | None = None  # None: it has no place yet
        self.replica: Replica | None = None
        self.on_place: Callable[[Node, float], None] | None = None
        self.is_stopped = False
        self.stops_at_s = 0.0


class Fleet:
    """All replicas of a deployment.

    Args:
        nodes: None when there is always a place.
        on_running: is called with the replicas that take requests, whenever they change.
        on_killed: is called with a request whose replica was stopped before it ended.
    """

    def __init__(
        self,
        stack: Stack,
        events: Events,
        nodes: Nodes | None,
        rng: random.Random,
        *,
        keep_token_times: bool,
        on_running: Callable[[list[Replica]], None],
        on_killed: Callable[[Request], None],
    ) -> None:
        self.target = 0
        self._held = Meter()
        self._stack = stack
        self._events = events
        self._nodes = nodes
        self._rng = rng
        self._keep_token_times = keep_token_times
        self._on_running = on_running
        self._on_killed = on_killed
        self._starting: list[Member] = []
        self._running: list[Member] = []
        self._draining: list[Member] = []
        self._num_made = 0

    @property
    def num_running(self) -> int:
        return len(self._running)

    @property
    def num_starting(self) -> int:
        return len(self._starting)

    @property
    def num_draining(self) -> int:
        return len(self._draining)

    def replica_seconds(self) -> float:
        """Until now, of all replicas from when they were asked for until their places were free again."""
        return self._held.read(self._events.now_s)

    @property
    def running(self) -> list[Replica]:
        return [member.replica for member in self._running if member.replica is not None]

    def start(self, num_replicas: int) -> None:
        """Let replicas run from the start."""
        self.target = num_replicas
        places = self._nodes.start(num_replicas) if self._nodes else []
        for number in range(num_replicas):
            member = self._make()
            member.node = places[number] if places else None
            self._run(member)
        self._count()
        self._on_running(self.running)

    def update(self) -> None:
        """One look of the control loop: note who is ready, then start or stop replicas."""
        now_s = self._events.now_s
        ready = [
            member for member in self._starting if member.ready_s is not None and member.ready_s <= now_s
        ]
        for member in ready:
            self._starting.remove(member)
            self._run(member)
        missing = self.target - len(self._starting) - len(self._running)
        for _ in range(missing):
            self._begin()
        stopped = [self._stop_one() for _ in range(-missing)]
        if missing:
            self._count()
        if ready or any(member.replica is not None for member in stopped):
            self._on_running(self.running)

    def _make(self) -> Member:
        self._num_made += 1
        return Member(self._num_made)

    def _run(self, member: Member) -> None:
        member.replica = Replica(
            f"replica-{member.number}",
            self._events,
            self._stack.service,
            keep_token_times=self._keep_token_times,
        )
        self._running.append(member)

    def _begin(self) -> None:
        member = self._make()
        self._starting.append(member)

        def on_place(node: Node | None, extra_s: float) -> None:
            member.node = node
            member.ready_s = self._events.now_s + extra_s + draw(self._stack.replica_start_s, self._rng)

        if self._nodes is None:
            on_place(None, 0.0)
        else:
            member.on_place = on_place
            self._nodes.place(on_place)

    def _stop_one(self) -> Member:
        if self._starting:
            member = self._starting.pop()
            if member.ready_s is None and self._nodes is not None and member.on_place is not None:
                self._nodes.withdraw(member.on_place)
            else:
                self._free(member)
            return member
        member = min(self._running, key=lambda one: (one.node.num_replicas if one.node else 0, -one.number))
        self._running.remove(member)
        self._draining.append(member)
        member.stops_at_s = self._events.now_s + self._stack.scaling.graceful_shutdown_timeout_s
        self._events.at(self._events.now_s + DRAIN_CHECK_S, self._check_drained, member)
        return member

    def _check_drained(self, member: Member) -> None:
        replica, now_s = member.replica, self._events.now_s
        assert replica is not None
        if replica.num_ongoing and now_s < member.stops_at_s:
            self._events.at(min(now_s + DRAIN_CHECK_S, member.stops_at_s), self._check_drained, member)
            return
        for request in replica.requests():
            self._on_killed(request)
        self._draining.remove(member)
        self._count()
        self._free(member)

    def _count(self) -> None:
        num_held = len(self._starting) + len(self._running) + len(self._draining)
        self._held.set(self._events.now_s, num_held)

    def _free(self, member: Member) -> None:
        if self._nodes is not None and member.node is not None:
            self._nodes.release(member.node)
