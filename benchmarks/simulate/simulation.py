"""One simulation: a workload's arrivals against one stack, from the first arrival to the last end.

Builds the model from its parts and lets it run; everything random is drawn from the seed.
"""

from __future__ import annotations

import gc
import random
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import msgspec
import numpy as np

from benchmarks.records import Outcome, Record
from benchmarks.simulate.outcomes import record_of
from benchmarks.simulate.requests import Arrivals
from benchmarks.simulate.stack.autoscaler import (
    CONTROL_LOOP_S,
    ControlLoop,
    Reporter,
    ScalingPolicy,
    WorkReporter,
)
from benchmarks.simulate.stack.draws import draw_many
from benchmarks.simulate.stack.events import Events
from benchmarks.simulate.stack.fleet import Fleet
from benchmarks.simulate.stack.meters import Meter
from benchmarks.simulate.stack.nodes import Nodes
from benchmarks.simulate.stack.replica import Replica, Request
from benchmarks.simulate.stack.router import Router
from benchmarks.simulate.stack.serve_policy import serve_autoscaler
from configs.autoscaling import reports_work
from configs.simulation import Stack

MAX_SAMPLES = 7200


class Sample(msgspec.Struct, frozen=True):
    """How the stack stood at one moment."""

    at_s: float
    num_running: int  # replicas that take requests
    num_starting: int  # that wait for a place or load
    num_draining: int  # that take no more requests
    num_target: int
    num_nodes: int | None  # None: the simulation has no nodes
    num_queued: int  # requests that no replica has yet
    num_ongoing: int  # requests on replicas


@dataclass(frozen=True, slots=True)
class Simulated:
    """What happened.

    Args:
        records: one for every request that arrived, in the order of their index.
        samples: about once a second.
        end_s: the end of arrivals or of the last request, whichever is later.
        replica_seconds: of those that took requests, until then.
        held_replica_seconds: of all, from when they were asked for until their places were free again.
        node_seconds: None without nodes.
        num_ups, num_downs: decisions for more and for fewer replicas.
        num_turns: of these, those that went the other way than the one before.
    """

    records: tuple[Record, ...]
    samples: tuple[Sample, ...]
    end_s: float
    min_replicas: int
    max_replicas: int
    replica_seconds: float
    held_replica_seconds: float
    max_nodes: int | None
    node_seconds: float | None
    num_ups: int
    num_downs: int
    num_turns: int


def simulate(
    arrivals: Arrivals,
    stack: Stack,
    *,
    seed: int,
    timeout_s: float,
    keep_token_times: bool = False,
    on_progress: Callable[[float], None] | None = None,
) -> Simulated:
    """Run the arrivals through the stack.

    Args:
        timeout_s: seconds after its arrival that a request is given up.
        keep_token_times: give every record the gaps between its tokens.
        on_progress: is called with the simulated time of every sample.

    Raises:
        ValueError: the first replicas do not fit on the nodes.
    """
    with ExitStack() as exits:
        scaling = stack.scaling
        policy = None
        if scaling.min_replicas != scaling.max_replicas:
            policy = exits.enter_context(serve_autoscaler(scaling))
        run = _Run(arrivals, stack, policy, seed, timeout_s, on_progress, keep_token_times=keep_token_times)
        run.start(scaling.min_replicas if policy is None else policy.initial_replicas)
        # Nothing of a simulation is garbage before its end, and looking for it costs a third of the time.
        gc.disable()
        exits.callback(gc.enable)
        run.events.run()
    return run.result()


class _Run:
    """The parts of one simulation and what they tell each other."""

    def __init__(
        self,
        arrivals: Arrivals,
        stack: Stack,
        policy: ScalingPolicy | None,
        seed: int,
        timeout_s: float,
        on_progress: Callable[[float], None] | None,
        *,
        keep_token_times: bool,
    ) -> None:
        self.events = events = Events()
        self._arrivals = arrivals
        self._policy = policy
        self._timeout_s = timeout_s
        self._on_progress = on_progress
        self._rng = random.Random(seed)  # noqa: S311 (a model, no secret)
        self._duration_s = arrivals.duration_s / stack.rate_factor
        self._at_s = arrivals.at_s / stack.rate_factor
        overhead_ms = draw_many(stack.service.overhead_ms, len(arrivals), np.random.default_rng(seed))
        self._overhead_s = overhead_ms / 1e3
        self._requests: list[Request | None] = [None] * len(arrivals)
        self._num_left = int(np.count_nonzero(~np.isnan(self._at_s)))  # that will arrive or have not ended
        self._callers: dict[Request, Router] = {}
        self._to_time_out: deque[Request] = deque()  # in the order of their arrival
        self._samples: list[Sample] = []
        self._sample_every_s = max(1.0, self._duration_s / MAX_SAMPLES)
        self._replicas = Meter()
        self._num_nodes = Meter()
        self._nodes = Nodes(stack.nodes, events, self._rng, self._on_nodes) if stack.nodes else None
        self._routers = [
            Router(
                events,
                self._rng,
                max_ongoing_requests=stack.scaling.max_ongoing_requests,
                max_queued_requests=stack.scaling.max_queued_requests,
                on_end=self._on_end,
            )
            for _ in range(stack.num_ingress_replicas)
        ]
        self._fleet = Fleet(
            stack,
            events,
            self._nodes,
            self._rng,
            keep_token_times=keep_token_times,
            on_running=self._on_running,
            on_killed=self._on_killed,
        )
        self._reporters = [
            Reporter(f"caller-{number}", router, policy, stack.scaling.autoscaler, events)
            for number, router in enumerate(self._routers)
            if policy is not None
        ]
        for router, reporter in zip(self._routers, self._reporters, strict=False):
            router.on_no_replica = reporter.report
        self._autoscaler = stack.scaling.autoscaler
        self._asks_for_work = policy is not None and reports_work(stack.scaling)
        self._work_reporters: dict[Replica, WorkReporter] = {}
        self._control_loop: ControlLoop | None = None

    def start(self, num_replicas: int) -> None:
        self._fleet.start(num_replicas)
        self._on_nodes()
        for reporter in self._reporters:
            reporter.start(self._rng, self._fleet.running)
        if self._policy is not None:
            phase_s = self._rng.random() * CONTROL_LOOP_S
            self._control_loop = ControlLoop(self._fleet, self._policy, self.events, phase_s)
        self.events.at(self._duration_s, self._on_end_of_arrivals)
        self.events.at(0.0, self._sample)
        # NaN sorts last.
        self._first = iter(np.argsort(self._at_s, kind="stable")[: self._num_left].tolist())
        self._plan_next_arrival()

    def _plan_next_arrival(self) -> None:
        index = next(self._first, None)
        if index is not None:
            self.events.at(float(self._at_s[index]), self._arrive_and_plan, index)

    def _arrive_and_plan(self, index: int) -> None:
        self._arrive(index)
        self._plan_next_arrival()

    def _arrive(self, index: int) -> None:
        arrivals, now_s = self._arrivals, self.events.now_s
        request = Request(
            index,
            now_s,
            int(arrivals.num_prompt_tokens[index]),
            int(arrivals.num_output_tokens[index]),
        )
        self._requests[index] = request
        # Connections spread over the ingress replicas evenly.
        router = self._callers[request] = self._routers[index % len(self._routers)]
        if not self._to_time_out:
            self.events.at(now_s + self._timeout_s, self._time_out)
        self._to_time_out.append(request)
        if arrivals.give_up_s is not None and np.isfinite(arrivals.give_up_s[index]):
            self.events.at(now_s + float(arrivals.give_up_s[index]), self._abandon, request)
        self.events.at(now_s + float(self._overhead_s[index]), self._assign, (router, request))

    def _assign(self, arrival: tuple[Router, Request]) -> None:
        router, request = arrival
        router.assign(request)

    def _abandon(self, request: Request) -> None:
        self._give_up(request, Outcome.ABANDONED)

    def _time_out(self, _: None) -> None:
        waiting = self._to_time_out
        while waiting and (
            waiting[0].outcome is not None or waiting[0].arrived_s + self._timeout_s <= self.events.now_s
        ):
            self._give_up(waiting.popleft(), Outcome.TIMEOUT)
        if waiting:
            self.events.at(waiting[0].arrived_s + self._timeout_s, self._time_out)

    def _on_killed(self, request: Request) -> None:
        self._give_up(request, Outcome.STREAM_ERROR if request.first_s is not None else Outcome.HTTP_ERROR)

    def _give_up(self, request: Request, outcome: Outcome) -> None:
        if request.outcome is None:
            request.outcome = outcome
            request.ended_s = self.events.now_s
            self._callers[request].withdraw(request)
            self._on_end(request)

    def _on_end(self, request: Request) -> None:
        del self._callers[request]
        self._num_left -= 1
        if self._arrivals.follow is not None:
            following = self._arrivals.follow(request.index, self.events.now_s)
            if following is not None:
                self._num_left += 1
                self.events.at(following[1], self._arrive, following[0])
        self._stop_if_over()

    def _on_end_of_arrivals(self, _: None) -> None:
        self._stop_if_over()

    def _stop_if_over(self) -> None:
        if not self._num_left and self.events.now_s >= self._duration_s:
            self.events.stop()

    def _on_running(self, replicas: list[Replica]) -> None:
        self._replicas.set(self.events.now_s, len(replicas))
        if self._policy is not None:
            self._policy.set_running([replica.name for replica in replicas])
        if self._asks_for_work:
            self._report_work(replicas)
        for router in self._routers:
            router.set_replicas(replicas)

    def _report_work(self, replicas: list[Replica]) -> None:
        """Have exactly these report what they do."""
        assert self._policy is not None
        for replica in self._work_reporters.keys() - set(replicas):
            self._work_reporters.pop(replica).stop()
        for replica in replicas:
            if replica not in self._work_reporters:
                reporter = WorkReporter(replica, self._policy, self._autoscaler, self.events)
                self._work_reporters[replica] = reporter
                # Those that run from the start did before it, since they did.
                is_first = self.events.now_s == 0.0
                reporter.start(self._rng.random() * self._autoscaler.metrics_interval_s if is_first else 0.0)

    def _on_nodes(self) -> None:
        if self._nodes is not None:
            self._num_nodes.set(self.events.now_s, self._nodes.num_nodes)

    def _sample(self, _: None) -> None:
        now_s, fleet = self.events.now_s, self._fleet
        self._samples.append(
            Sample(
                at_s=now_s,
                num_running=fleet.num_running,
                num_starting=fleet.num_starting,
                num_draining=fleet.num_draining,
                num_target=fleet.target,
                num_nodes=self._nodes.num_nodes if self._nodes else None,
                num_queued=sum(router.num_queued for router in self._routers),
                num_ongoing=sum(sum(router.sent.values()) for router in self._routers),
            )
        )
        if self._on_progress is not None:
            self._on_progress(now_s)
        self.events.at(now_s + self._sample_every_s, self._sample)

    def result(self) -> Simulated:
        end_s = self.events.now_s
        loop = self._control_loop
        return Simulated(
            records=tuple(
                record_of(request, self._arrivals.label(request.index))
                for request in self._requests
                if request is not None
            ),
            samples=tuple(self._samples),
            end_s=end_s,
            min_replicas=self._replicas.low or 0,
            max_replicas=self._replicas.high or 0,
            replica_seconds=self._replicas.read(end_s),
            held_replica_seconds=self._fleet.replica_seconds(),
            max_nodes=self._num_nodes.high,
            node_seconds=self._num_nodes.read(end_s) if self._nodes is not None else None,
            num_ups=0 if loop is None else loop.num_ups,
            num_downs=0 if loop is None else loop.num_downs,
            num_turns=0 if loop is None else loop.num_turns,
        )
