"""A RayService somewhere, reached by its address; its faults are done by kubectl, or by commands of the user's.

Written against kubectl's command line and KubeRay's labels (ray.io/cluster, ray.io/node-type); no shell of ours
runs anything. Replicas are found inside their pods by the titles that Ray gives their processes.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import httpx

from benchmarks.conformance import cluster
from benchmarks.scenarios.faults import Fault, FaultFailed, GivenCommand
from benchmarks.scenarios.subject import CannotRun

READY_TIMEOUT_S = 300.0  # a node may have to come first
COMMAND_TIMEOUT_S = 120.0

RunCommand = Callable[[Sequence[str]], str]  # words -> what it said; raises FaultFailed


@dataclass(frozen=True, slots=True)
class Kubectl:
    """Where a RayService is.

    Args:
        words: "kubectl", perhaps with --context.
        ray_cluster: the name of its RayCluster (`kubectl get rayclusters`).
        app_name: the application's name in Serve.
    """

    words: tuple[str, ...]
    namespace: str
    ray_cluster: str
    app_name: str
    main_deployment: str
    run: RunCommand

    def pods(self, node_type: str) -> list[str]:
        """Names of the running pods of one type: head or worker.

        Raises:
            FaultFailed: there is none.
        """
        selector = f"ray.io/cluster={self.ray_cluster},ray.io/node-type={node_type}"
        said = self.ask(
            "get",
            "pods",
            "--selector",
            selector,
            "--field-selector",
            "status.phase=Running",
            "--output",
            "name",
        )
        found = [line.removeprefix("pod/") for line in said.split()]
        if not found:
            raise FaultFailed(f"no {node_type} pod of {self.ray_cluster} runs in {self.namespace}")
        return found

    def ask(self, *words: str) -> str:
        return self.run([*self.words, "--namespace", self.namespace, *words])

    def pod_with(self, pattern: str) -> str:
        """The first worker pod in which a process with such a title runs.

        Raises:
            FaultFailed: none does.
        """
        for pod in self.pods("worker"):
            if self.processes(pod, pattern):
                return pod
        raise FaultFailed(f"no worker pod of {self.ray_cluster} has a process like {pattern!r}")

    def processes(self, pod: str, pattern: str) -> list[str]:
        """Ids, in the pod, of its processes with such a title; oldest first."""
        # pgrep ends with 1 where it finds nothing, which kubectl would take for a failure.
        return self.ask("exec", pod, "--", "sh", "-c", f"pgrep -f {shlex.quote(pattern)} || true").split()


@dataclass(frozen=True, slots=True)
class SignalInPod:
    """A signal to one process in a pod."""

    kubectl: Kubectl
    what: str
    signal_name: str  # KILL, STOP
    pattern: str  # of the process' title, for pgrep
    node_type: str = "worker"

    @property
    def start_text(self) -> str:
        return f"{self.what} gets SIG{self.signal_name}"

    def inject(self) -> str:
        is_worker = self.node_type == "worker"
        pod = self.kubectl.pod_with(self.pattern) if is_worker else self.kubectl.pods("head")[0]
        found = self.kubectl.processes(pod, self.pattern)
        if not found:
            raise FaultFailed(f"{pod} has no process like {self.pattern!r}")
        self.kubectl.ask("exec", pod, "--", "kill", f"-{self.signal_name}", found[0])
        return f"SIG{self.signal_name} to process {found[0]} of {pod}"


@dataclass(frozen=True, slots=True)
class DeletePod:
    """A pod that goes: at once, as a node that is lost, or with the grace that a drain gives."""

    kubectl: Kubectl
    node_type: str
    is_sudden: bool

    @property
    def start_text(self) -> str:
        return f"a {self.node_type} pod is {'killed' if self.is_sudden else 'drained'}"

    def inject(self) -> str:
        start_s = time.monotonic()
        if self.node_type == "head":
            pod = self.kubectl.pods("head")[0]
        else:
            pod = self.kubectl.pod_with(replica_title(self.kubectl.app_name, self.kubectl.main_deployment))
        how = ("--grace-period=0", "--force", "--wait=false") if self.is_sudden else ("--wait=true",)
        self.kubectl.ask("delete", "pod", pod, *how)
        return f"{pod} was deleted in {time.monotonic() - start_s:.1f} s"


@dataclass(frozen=True, slots=True)
class RemoteCluster:
    """A Cluster that is reached by its address.

    Args:
        commands: fault -> what the user says does it; comes before kubectl.
        kubectl: None: only `commands` can be done.
    """

    url: str
    http: httpx.Client
    commands: Mapping[str, str] = field(default_factory=dict)
    kubectl: Kubectl | None = None
    timeout_s: float = COMMAND_TIMEOUT_S
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def fault(self, name: str) -> Fault:
        if name in self.commands:
            return GivenCommand(self.commands[name], self.timeout_s)
        if self.kubectl is None:
            raise CannotRun(f"nothing says how to do it there; --do '{name}=COMMAND' or --ray-cluster does")
        made = by_kubectl(self.kubectl).get(name)
        if made is None:
            raise CannotRun(f"kubectl alone cannot do it; --do '{name}=COMMAND' says how")
        return made

    def mend(self) -> None:
        """Operators mend; this waits until the application says that it is ready."""
        give_up = self.clock() + READY_TIMEOUT_S
        while (why_not := self._why_unready()) is not None:
            if self.clock() > give_up:
                raise CannotRun(f"it was not ready within {READY_TIMEOUT_S:.0f} s: {why_not}")
            self.sleep(1.0)

    def _why_unready(self) -> str | None:
        try:
            response = self.http.get("/readyz")
        except httpx.HTTPError as exc:
            return f"{self.url}/readyz: {exc or exc.__class__.__name__}"
        if response.status_code in (200, 404):  # 404: it has no such route, and answers
            return None
        return f"{self.url}/readyz answered {response.status_code}"


def by_kubectl(kubectl: Kubectl) -> dict[str, Fault]:
    """The faults that kubectl can do."""
    engine = replica_title(kubectl.app_name, kubectl.main_deployment)
    ingress = replica_title(kubectl.app_name, "Ingress")
    return {
        cluster.ENGINE_KILLED: SignalInPod(
            kubectl, f"a replica of {kubectl.main_deployment}", "KILL", engine
        ),
        cluster.ENGINE_STOPPED: SignalInPod(
            kubectl, f"a replica of {kubectl.main_deployment}", "STOP", engine
        ),
        cluster.INGRESS_KILLED: SignalInPod(kubectl, "a replica of Ingress", "KILL", ingress),
        cluster.PROXY_KILLED: SignalInPod(kubectl, "a worker's proxy", "KILL", "haproxy -db|ray::ProxyActor"),
        cluster.CONTROLLER_KILLED: SignalInPod(
            kubectl, "Serve's controller", "KILL", "ray::ServeController", "head"
        ),
        cluster.NODE_DRAINED: DeletePod(kubectl, "worker", is_sudden=False),
        cluster.NODE_KILLED: DeletePod(kubectl, "worker", is_sudden=True),
        cluster.HEAD_KILLED: DeletePod(kubectl, "head", is_sudden=True),
    }


def replica_title(app_name: str, deployment: str) -> str:
    """What pgrep looks for."""
    return f"ray::ServeReplica:{app_name}:{deployment}"


def run_command(words: Sequence[str]) -> str:
    """What a command says; no shell runs it.

    Raises:
        FaultFailed: it failed, or took too long.
    """
    return GivenCommand(shlex.join(words), COMMAND_TIMEOUT_S).output()
