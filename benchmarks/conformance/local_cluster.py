"""The faults of an application on this machine, by name, and the way back from each."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.conformance import cluster
from benchmarks.conformance.clock import StepClock
from benchmarks.conformance.disk import FillDisk
from benchmarks.conformance.local import LocalApplication
from benchmarks.conformance.local_faults import (
    CutConnection,
    DrainNode,
    KillNode,
    Nap,
    RestartHead,
    ScaleDown,
    SignalOne,
    StopReplica,
    Update,
)
from benchmarks.conformance.processes import is_controller, is_haproxy, is_python_proxy
from benchmarks.scenarios.faults import Fault
from benchmarks.scenarios.subject import CannotRun
from benchmarks.target import Target

NOTICE_TIMEOUT_S = 75.0  # for a replica that hangs: Serve asks every 10 s and waits 30 s for an answer
ROLL_TIMEOUT_S = 120.0


class LocalCluster:
    """A Cluster on this machine."""

    def __init__(self, application: LocalApplication) -> None:
        self._application = application
        self._faults: Mapping[str, Callable[[], Fault]] = {
            cluster.ENGINE_KILLED: lambda: self._kill_replica(application.main_deployment),
            cluster.ENGINE_STOPPED: lambda: StopReplica(application, NOTICE_TIMEOUT_S),
            cluster.INGRESS_KILLED: lambda: self._kill_replica("Ingress"),
            cluster.CONNECTION_CUT: lambda: CutConnection(application),
            cluster.PROXY_KILLED: self._kill_proxy,
            cluster.CONTROLLER_KILLED: self._kill_controller,
            cluster.SCALED_DOWN: lambda: ScaleDown(application, ROLL_TIMEOUT_S),
            cluster.SCALED_TO_ZERO: self._nap,
            cluster.UPDATED: lambda: Update(application, self._changes(), ROLL_TIMEOUT_S),
            cluster.NODE_DRAINED: lambda: DrainNode(application),
            cluster.NODE_KILLED: lambda: KillNode(application),
            cluster.HEAD_KILLED: self._restart_head,
            cluster.DISK_FULL: self._fill_disk,
            cluster.CLOCK_STEPPED: self._step_clock,
        }

    @property
    def url(self) -> str:
        return self._application.url

    def fault(self, name: str) -> Fault:
        make = self._faults.get(name)
        if make is None:
            raise CannotRun(f"{name} cannot be done to processes of this machine")
        return make()

    def mend(self) -> None:
        self._application.revive_nodes()
        self._application.deploy_original()
        self._application.wait_until_settled()
        self._application.spread()

    def _kill_replica(self, deployment: str) -> Fault:
        return SignalOne(
            f"a replica of {deployment}", "is killed", lambda: self._application.replicas(deployment)
        )

    def _kill_proxy(self) -> Fault:
        """A worker's: the head's is one of several, too, and dies with the head in another row."""

        def find() -> list[Any]:
            nodes = [*self._application.workers, self._application.head]
            # The newest of a node: older ones only end what they still carry since the last reload.
            found = [process for node in nodes for process in reversed(node.below(is_haproxy))]
            return found or [process for node in nodes for process in node.below(is_python_proxy)]

        return SignalOne("a worker's proxy", "is killed", find, signal.SIGKILL)

    def _kill_controller(self) -> Fault:
        return SignalOne(
            "Serve's controller", "is killed", lambda: self._application.head.below(is_controller)
        )

    def _restart_head(self) -> Fault:
        if self._application.why_no_redis is not None:
            raise CannotRun(
                f"{self._application.why_no_redis}; without it a head forgets everything when it dies"
            )
        return RestartHead(self._application)

    def _nap(self) -> Fault:
        models = self._application.profile.platform.models
        sleepy = next((model for model in models if model.scaling.min_replicas == 0), None)
        if sleepy is None:
            raise CannotRun("no model of the profile scales to zero")
        return Nap(self._application, Target(self.url, sleepy.name), ROLL_TIMEOUT_S)

    def _fill_disk(self) -> Fault:
        if self._application.why_no_disk is not None:
            raise CannotRun(self._application.why_no_disk)
        return FillDisk(self._application.disk, Target(self.url, ""))

    def _step_clock(self) -> Fault:
        clock = self._application.clock
        if clock is None:
            raise CannotRun(self._application.why_no_clock or "there is no clock to step")
        return StepClock(clock, self.url)

    def _changes(self) -> dict[str, Any]:
        """Another configuration of the first model and of the agent, which changes no answer."""
        platform = self._application.profile.platform.model_dump(mode="json", exclude_unset=True)
        models = [dict(model) for model in platform["models"]]
        models[0]["context_tokens"] = models[0].get("context_tokens", 32_768) // 2
        agent = dict(platform["agent"])
        agent["max_answer_tokens"] = agent.get("max_answer_tokens", 400) + 1
        return {"models": models, "agent": agent}
