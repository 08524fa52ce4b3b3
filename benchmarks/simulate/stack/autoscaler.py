"""What drives Serve's autoscaling: callers that record and report, and a control loop that decides.

Every caller records how many requests wait and run each fifth of the look-back period (at most a metrics
interval apart), keeps the look-back period's points, and reports them each metrics interval; with no
replica running it reports at once. Replicas report what they say of their own work in the same way, where
the policy asks for it. The control loop looks every tenth of a second. Rules and constants are those of
ray.serve 2.60; what is decided is decided by its own code, behind `ScalingPolicy`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Protocol

from benchmarks.simulate.stack.events import Events
from benchmarks.simulate.stack.fleet import Fleet
from benchmarks.simulate.stack.replica import Replica
from benchmarks.simulate.stack.router import Router
from configs.schema import AutoscalerConfig

CONTROL_LOOP_S = 0.1
RECORD_SHARE_OF_LOOK_BACK = 0.2

Points = Sequence[tuple[float, float]]  # (at_s, value), oldest first


class ScalingPolicy(Protocol):
    """Who decides how many replicas there should be."""

    def set_running(self, names: Sequence[str]) -> None: ...

    def report(self, caller: str, at_s: float, queued: Points, running: Mapping[str, Points]) -> None: ...

    def report_work(self, replica: str, at_s: float, work: Mapping[str, Points]) -> None: ...

    def decide(self, at_s: float, num_target: int) -> int: ...


class Reporter:
    """One caller's records of its own requests."""

    def __init__(
        self, name: str, router: Router, policy: ScalingPolicy, config: AutoscalerConfig, events: Events
    ) -> None:
        self._name = name
        self._router = router
        self._policy = policy
        self._events = events
        self._look_back_s = config.look_back_period_s
        self._report_every_s = config.metrics_interval_s
        self._record_every_s = record_every_s(config)
        self._queued: list[tuple[float, float]] = []
        self._running: dict[Replica, list[tuple[float, float]]] = {}

    def start(self, rng: random.Random, replicas: Sequence[Replica]) -> None:
        """Begin with a past in which nothing was asked, at a random phase: callers start when they do."""
        first_record_s = rng.random() * self._record_every_s
        num_past = int(self._look_back_s / self._record_every_s)
        past = [(first_record_s - n * self._record_every_s, 0.0) for n in range(num_past, 0, -1)]
        self._queued = list(past)
        self._running = {replica: list(past) for replica in replicas}
        self.report()
        self._events.at(first_record_s, self._record)
        self._events.at(rng.random() * self._report_every_s, self._report_again)

    def report(self) -> None:
        now_s = self._events.now_s
        self._forget(now_s - self._look_back_s)
        running = {
            replica.name: self._running.get(replica) or [(now_s, float(count))]
            for replica, count in self._router.sent.items()
        }
        queued = self._queued or [(now_s, float(self._router.num_queued))]
        self._policy.report(self._name, now_s, queued, running)

    def _record(self, _: None) -> None:
        now_s = self._events.now_s
        self._queued.append((now_s, float(self._router.num_queued)))
        for replica, count in self._router.sent.items():
            self._running.setdefault(replica, []).append((now_s, float(count)))
        self._forget(now_s - self._look_back_s)
        self._events.at(now_s + self._record_every_s, self._record)

    def _report_again(self, _: None) -> None:
        self.report()
        self._events.at(self._events.now_s + self._report_every_s, self._report_again)

    def _forget(self, before_s: float) -> None:
        self._queued = [point for point in self._queued if point[0] >= before_s]
        kept = {
            replica: [point for point in points if point[0] >= before_s]
            for replica, points in self._running.items()
        }
        self._running = {replica: points for replica, points in kept.items() if points}


class WorkReporter:
    """One replica's records of its own work, from its start until it takes no more requests."""

    def __init__(
        self, replica: Replica, policy: ScalingPolicy, config: AutoscalerConfig, events: Events
    ) -> None:
        self._replica = replica
        self._policy = policy
        self._events = events
        self._look_back_s = config.look_back_period_s
        self._report_every_s = config.metrics_interval_s
        self._record_every_s = record_every_s(config)
        self._points: dict[str, list[tuple[float, float]]] = {}
        self._is_over = False

    def start(self, phase_s: float = 0.0) -> None:
        """Record from now on; report now, then after `phase_s`, then each interval."""
        self._record(None)
        self._report()
        self._events.at(self._events.now_s + (phase_s or self._report_every_s), self._report_again)

    def stop(self) -> None:
        self._is_over = True

    def _record(self, _: None) -> None:
        if self._is_over:
            return
        now_s = self._events.now_s
        for name, value in self._replica.work().items():
            kept = [point for point in self._points.get(name, ()) if point[0] >= now_s - self._look_back_s]
            self._points[name] = [*kept, (now_s, value)]
        self._events.at(now_s + self._record_every_s, self._record)

    def _report(self) -> None:
        self._policy.report_work(self._replica.name, self._events.now_s, self._points)

    def _report_again(self, _: None) -> None:
        if not self._is_over:
            self._report()
            self._events.at(self._events.now_s + self._report_every_s, self._report_again)


def record_every_s(config: AutoscalerConfig) -> float:
    """Seconds between two records."""
    return min(config.look_back_period_s * RECORD_SHARE_OF_LOOK_BACK, config.metrics_interval_s)


class ControlLoop:
    """Serve's controller: notes what runs, asks the policy, and lets the fleet follow."""

    def __init__(self, fleet: Fleet, policy: ScalingPolicy, events: Events, phase_s: float) -> None:
        self._fleet = fleet
        self._policy = policy
        self._events = events
        self.num_ups = 0  # decisions for more replicas than before
        self.num_downs = 0
        self.num_turns = 0  # those that went the other way than the one before
        self._went_up: bool | None = None
        events.at(phase_s, self._step)

    def _step(self, _: None) -> None:
        self._fleet.update()
        now_s = self._events.now_s
        decided = self._policy.decide(now_s, self._fleet.target)
        if decided != self._fleet.target:
            self._note(is_up=decided > self._fleet.target)
        self._fleet.target = decided
        self._events.at(now_s + CONTROL_LOOP_S, self._step)

    def _note(self, *, is_up: bool) -> None:
        self.num_ups += is_up
        self.num_downs += not is_up
        self.num_turns += self._went_up is not None and is_up != self._went_up
        self._went_up = is_up
