"""Faults done to processes, nodes and configuration of an application on this machine, each once."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import psutil

from benchmarks.conformance.clients import chat_body, connected, read_until, request_bytes
from benchmarks.conformance.connections import cut_connections
from benchmarks.conformance.local import LocalApplication
from benchmarks.conformance.processes import is_any_replica, is_haproxy
from benchmarks.conformance.ray_node import RayNode, run_ray
from benchmarks.errors import BenchmarkError
from benchmarks.scenarios.faults import LOOK_EVERY_S, FaultFailed
from benchmarks.scenarios.processes import deployment_of, is_gone
from benchmarks.target import Target

DRAIN_DEADLINE_S = 90
DOORS_TIMEOUT_S = 15.0
HEAD_DOWN_S = 2.0  # before it is started again, as an operator needs to notice
COMMAND_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class SignalOne:
    """A signal to one process, and to nothing else.

    Args:
        what: "a replica of Model-mock".
        find: those it may be sent to; the first gets it.
    """

    what: str
    verb: str  # "is killed"
    find: Callable[[], Sequence[psutil.Process]]
    number: signal.Signals = signal.SIGKILL

    @property
    def start_text(self) -> str:
        return f"{self.what} {self.verb}"

    def inject(self) -> str:
        found = self.find()
        if not found:
            raise FaultFailed(f"{self.what} is not there")
        try:
            found[0].send_signal(self.number)
        except psutil.Error as exc:
            raise FaultFailed(f"cannot send {self.number.name} to process {found[0].pid}: {exc}") from exc
        return f"{self.number.name} to process {found[0].pid}, one of {len(found)}"


@dataclass(frozen=True, slots=True)
class StopReplica:
    """SIGSTOP to one replica: it holds its connections and says nothing. Over when it is replaced."""

    application: LocalApplication
    timeout_s: float

    @property
    def start_text(self) -> str:
        return f"a replica of {self.application.main_deployment} is stopped (SIGSTOP)"

    def inject(self) -> str:
        found = self.application.replicas(self.application.main_deployment)
        if not found:
            raise FaultFailed(f"no replica of {self.application.main_deployment} runs")
        start_s = time.monotonic()
        found[0].suspend()
        try:
            while not is_gone(found[0]):
                if time.monotonic() - start_s > self.timeout_s:
                    raise FaultFailed(
                        f"nobody noticed within {self.timeout_s:g} s that process {found[0].pid} is stopped"
                    )
                time.sleep(LOOK_EVERY_S)
        finally:
            if not is_gone(found[0]):
                found[0].resume()
        return f"process {found[0].pid} was found and ended after {time.monotonic() - start_s:.1f} s"


@dataclass(frozen=True, slots=True)
class CutConnection:
    """Every connection between one ingress replica and one engine replica; both go on."""

    application: LocalApplication

    @property
    def start_text(self) -> str:
        return f"an ingress and a {self.application.main_deployment} replica lose their connections"

    def inject(self) -> str:
        engines = self.application.replicas(self.application.main_deployment)
        ingresses = self.application.replicas("Ingress")
        why = "there are none"
        for ingress in ingresses:
            for engine in engines:
                try:
                    num = cut_connections(ingress.pid, engine.pid)
                except FaultFailed as exc:
                    why = str(exc)
                else:
                    return f"cut {num} between the processes {ingress.pid} and {engine.pid}"
        raise FaultFailed(f"{len(ingresses)} ingress and {len(engines)} engine replicas: {why}")


@dataclass(frozen=True, slots=True)
class KillNode:
    """SIGKILL to a worker's raylet and all below it, at once. It is not started again before all is well."""

    application: LocalApplication

    @property
    def start_text(self) -> str:
        return "a worker node is killed"

    def inject(self) -> str:
        node = self.application.worker_of(self.application.main_deployment)
        num_replicas = len(node.below(is_any_replica))
        return f"killed the {node.kill()} processes of {node.name}, {num_replicas} of them replicas"


@dataclass(frozen=True, slots=True)
class DrainNode:
    """Ray's own drain of a worker, as before a spot instance goes; then the node is ended."""

    application: LocalApplication
    timeout_s: float = DRAIN_DEADLINE_S

    @property
    def start_text(self) -> str:
        return "a worker node is drained"

    def inject(self) -> str:
        node = self.application.worker_of(self.application.main_deployment)
        node_id = node.node_id()
        if node_id is None:
            raise FaultFailed(f"{node.name} does not run")
        num_replicas = len(node.below(is_any_replica))
        start_s = time.monotonic()
        self._ask_for_it(node_id)
        while left := len(node.below(is_any_replica)):
            if time.monotonic() - start_s > self.timeout_s:
                raise FaultFailed(f"{left} of {num_replicas} replicas of {node.name} did not go")
            time.sleep(LOOK_EVERY_S)
        taken_s = time.monotonic() - start_s
        _close_doors(node)
        node.stop()
        return f"the {num_replicas} replicas of {node.name} went within {taken_s:.1f} s, and then the node"

    def _ask_for_it(self, node_id: str) -> None:
        arguments = ["drain-node", "--address", self.application.gcs_address, "--node-id", node_id]
        arguments += ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "conformance"]
        arguments += ["--deadline-remaining-seconds", str(DRAIN_DEADLINE_S)]
        try:
            run_ray(arguments, self.application.ray_environment(), COMMAND_TIMEOUT_S)
        except BenchmarkError as exc:
            raise FaultFailed(str(exc)) from exc


def _close_doors(node: RayNode) -> None:
    """Have its proxies take no more connections and end with those they have, as a load balancer that takes a node
    out does: here the kernel is the balancer, and goes on until a proxy stops listening (SIGUSR1, HAProxy's own)."""
    doors = node.below(is_haproxy)
    for door in doors:
        door.send_signal(signal.SIGUSR1)
    psutil.wait_procs(doors, timeout=DOORS_TIMEOUT_S)


@dataclass(frozen=True, slots=True)
class RestartHead:
    """SIGKILL to all of the head at once; started again with the same address and the same Redis."""

    application: LocalApplication

    @property
    def start_text(self) -> str:
        return "the head is killed, and started again"

    def inject(self) -> str:
        start_s = time.monotonic()
        num = self.application.head.kill()
        time.sleep(HEAD_DOWN_S)
        try:
            self.application.start_head()
        except BenchmarkError as exc:
            raise FaultFailed(str(exc)) from exc
        return f"killed {num} processes; a new head ran after {time.monotonic() - start_s:.1f} s"


@dataclass(frozen=True, slots=True)
class Update:
    """A new configuration of the model and the agent: every deployment gets a new version."""

    application: LocalApplication
    changes: Mapping[str, object]
    timeout_s: float

    @property
    def start_text(self) -> str:
        return "an update rolls over every deployment"

    def inject(self) -> str:
        old = self.application.all_replicas()
        start_s = time.monotonic()
        try:
            self.application.deploy(self.application.document(self.changes))
        except BenchmarkError as exc:
            raise FaultFailed(str(exc)) from exc
        while left := [process for process in old if not is_gone(process)]:
            if time.monotonic() - start_s > self.timeout_s:
                raise FaultFailed(f"{len(left)} of {len(old)} replicas were not replaced")
            time.sleep(LOOK_EVERY_S)
        return f"replaced {len(old)} replicas in {time.monotonic() - start_s:.1f} s"


@dataclass(frozen=True, slots=True)
class ScaleDown:
    """One replica of the model less."""

    application: LocalApplication
    timeout_s: float

    @property
    def start_text(self) -> str:
        return f"{self.application.main_deployment} is scaled down to one replica"

    def inject(self) -> str:
        name = self.application.main_deployment
        before = len(self.application.replicas(name))
        start_s = time.monotonic()
        try:
            self.application.deploy(self.application.document(num_replicas={name: 1}))
        except BenchmarkError as exc:
            raise FaultFailed(str(exc)) from exc
        while len(self.application.replicas(name)) > 1:
            if time.monotonic() - start_s > self.timeout_s:
                raise FaultFailed(f"{len(self.application.replicas(name))} replicas of {name} still run")
            time.sleep(LOOK_EVERY_S)
        return f"{before - 1} of {before} replicas went in {time.monotonic() - start_s:.1f} s"


@dataclass(frozen=True, slots=True)
class Nap:
    """A model is woken, falls asleep without work, and is woken again by several clients at once.

    Args:
        target: its model scales to zero.
    """

    application: LocalApplication
    target: Target
    timeout_s: float
    num_clients: int = 3

    @property
    def start_text(self) -> str:
        return f"{self.target.model} is woken, falls asleep, and is woken again"

    def inject(self) -> str:
        self._ask(1)
        deployment = deployment_of(self.target.model)
        start_s = time.monotonic()
        while self.application.replicas(deployment):
            if time.monotonic() - start_s > self.timeout_s:
                raise FaultFailed(f"a replica of {deployment} was still there after {self.timeout_s:g} s")
            time.sleep(LOOK_EVERY_S)
        asleep_s = time.monotonic() - start_s
        woken_s = self._ask(self.num_clients)
        return (
            f"asleep {asleep_s:.1f} s after its last answer; then {self.num_clients} of {self.num_clients} "
            f"answers came whole within {woken_s:.1f} s of asking"
        )

    def _ask(self, num_clients: int) -> float:
        """Seconds until all have their whole answer, who ask at the same moment."""
        start_s = time.monotonic()
        with ExitStack() as stack:
            clients = [stack.enter_context(connected(self.target)) for _ in range(num_clients)]
            for client in clients:
                client.sendall(request_bytes(self.target, chat_body(self.target.model, 16)))
            for client in clients:
                read_until(client, b"[DONE]")
        return time.monotonic() - start_s
