"""The application on several raylets of this machine: a head and workers, each with its own processes.

As a RayService has it: a head that takes no replicas, its state in a Redis, Serve's configuration put there by
its REST API, and a proxy on every node. The proxies share one port, as nodes behind a load balancer share an
address: the kernel hands each connection to one that listens.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.conformance.clock import SteppableClock
from benchmarks.conformance.disk import SmallDisk
from benchmarks.conformance.node_plans import NodePlans
from benchmarks.conformance.processes import is_any_replica, is_replica_of
from benchmarks.conformance.ray_node import RayNode, processes_that_name
from benchmarks.conformance.redis import NoRedis, Redis
from benchmarks.conformance.serve_api import ServeApi, why_unsettled
from benchmarks.errors import BadTarget
from benchmarks.scenarios.processes import deployment_of
from benchmarks.scenarios.subject import CannotRun
from configs.load import IMPORT_PATH, Profile
from configs.ports import free_port

SETTLE_TIMEOUT_S = 240.0
NUM_READY = 6  # answers in a row, so that every proxy has probably given one
SPREAD_ATTEMPTS = 5

Tell = Callable[[str], None]


class LocalApplication:
    """One application of `profile`, and all that it runs on.

    Args:
        environment: the folder of a node -> what Serve's processes on it need (see `cluster.local`).
        num_workers: raylets beside the head's.
        tell: one line for whoever waits.
    """

    def __init__(
        self,
        profile: Profile,
        environment: Callable[[Path], Mapping[str, str]],
        num_workers: int = 2,
        tell: Tell = lambda _: None,
    ) -> None:
        # Short, because Ray and HAProxy put Unix sockets there and their paths may have 107 characters.
        self.folder = Path(tempfile.mkdtemp(prefix="manta-"))
        self.home = self.folder / "home"
        self.why_no_redis: str | None = None
        self._plans = NodePlans(self.folder, self.home, environment)
        self.profile = replace(profile, port=self._plans.http_port)
        self._num_workers = num_workers
        self._tell = tell
        self._redis: Redis | None = None
        self.disk = SmallDisk(self.home)
        self.clock: SteppableClock | None = None  # of the first worker
        self.why_no_disk: str | None = None
        self.why_no_clock: str | None = None
        self.head = self._plans.head(None)
        self.workers: list[RayNode] = []
        self._api = ServeApi(self._plans.dashboard_url, self._plans.token)
        self._wanted = self.document()

    @property
    def url(self) -> str:
        return f"http://{self.profile.host}:{self.profile.port}"

    @property
    def gcs_address(self) -> str:
        return self._plans.gcs_address

    @property
    def main_deployment(self) -> str:
        """Of the model that the load asks: the profile's first."""
        return deployment_of(self.profile.platform.models[0].name)

    @property
    def nodes(self) -> list[RayNode]:
        return [self.head, *self.workers]

    def start(self) -> None:
        """Start everything; returns once all of it runs.

        Raises:
            NodeFailed, CannotRun: it does not start; the message says why.
        """
        self._have_what_faults_need()
        self._tell(f"starting a head and {self._num_workers} workers")
        self.start_head()
        self.workers = [self._worker(number) for number in range(self._num_workers)]
        for worker in self.workers:
            worker.start()
        self._tell("deploying the application")
        self.deploy(self.document())
        self.wait_until_settled()

    def _have_what_faults_need(self) -> None:
        """What is missing on this machine leaves out its own row only."""
        try:
            self._redis = Redis(self.folder / "redis", free_port())
        except NoRedis as exc:
            self.why_no_redis = str(exc)
        try:
            self.disk.mount()
        except CannotRun as exc:
            self.why_no_disk = str(exc)
        try:
            self.clock = SteppableClock(self.folder)
        except CannotRun as exc:
            self.why_no_clock = str(exc)

    def stop(self) -> None:
        """Stop it and remove its folder; returns when its processes are gone."""
        self._api.close()
        for node in reversed(self.nodes):
            node.stop()
        if self._redis is not None:
            self._redis.stop()
        for process in processes_that_name(str(self.folder)):
            process.kill()
        self.disk.unmount()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start_head(self) -> None:
        self.head = self._plans.head(self._redis.address if self._redis is not None else None)
        self.head.start()

    def revive_nodes(self) -> None:
        """Start those anew that do not run."""
        if not self.head.is_running:
            self.head.stop()
            self.start_head()
        for number, worker in enumerate(self.workers):
            if not worker.is_running:
                worker.stop()
                self.workers[number] = self._worker(number)
                self.workers[number].start()

    def spread(self) -> None:
        """Have the replicas of what has several on more than one node: Serve moves none back to a node that is new.

        Raises:
            CannotRun: they are started on the same node again and again.
        """
        for _ in range(SPREAD_ATTEMPTS):
            crowded = self._crowded()
            if not crowded:
                return
            for process in crowded:
                process.kill()  # another one is started, mostly where there is more room
            psutil.wait_procs(crowded, timeout=5.0)
            self.wait_until_settled()
        if self._crowded():
            raise CannotRun(f"Serve started all replicas on one node, {SPREAD_ATTEMPTS} times over")

    def _crowded(self) -> list[psutil.Process]:
        """One replica of each deployment that clients wait for and that has all its replicas on one node."""
        found = []
        for name in ("Ingress", self.main_deployment):
            is_wanted = is_replica_of(self.profile.app_name, name)
            on_nodes = [running for worker in self.workers if (running := worker.below(is_wanted))]
            if len(on_nodes) == 1 and len(on_nodes[0]) > 1 and len(self.workers) > 1:
                found.append(on_nodes[0][0])
        return found

    def deploy(self, document: Mapping[str, Any]) -> None:
        """Have Serve want this; returns before it is so."""
        self._wanted = dict(document)
        self._api.deploy(document)

    def deploy_original(self) -> None:
        if self._wanted != self.document():
            self.deploy(self.document())

    def document(
        self, changes: Mapping[str, Any] | None = None, num_replicas: Mapping[str, int] | None = None
    ) -> dict[str, Any]:
        """Serve's configuration.

        Args:
            changes: of the platform's top keys; every deployment then has a new version.
            num_replicas: deployment -> how many instead; no version changes.
        """
        platform = self.profile.platform.model_dump(mode="json", exclude_unset=True)
        application: dict[str, Any] = {
            "name": self.profile.app_name,
            "route_prefix": self.profile.route_prefix,
            "import_path": IMPORT_PATH,
            "args": platform | dict(changes or {}),
        }
        if num_replicas:
            application["deployments"] = [
                {"name": name, "num_replicas": num} for name, num in num_replicas.items()
            ]
        return {
            "proxy_location": "EveryNode",
            "http_options": {"host": self.profile.host, "port": self.profile.port},
            "applications": [application],
        }

    def wait_until_settled(self, timeout_s: float = SETTLE_TIMEOUT_S) -> None:
        """Return once everything runs as it is wanted, and answers.

        Raises:
            CannotRun: it does not in time.
        """
        give_up = time.monotonic() + timeout_s
        while (why_not := self.why_unsettled()) is not None:
            if time.monotonic() > give_up:
                raise CannotRun(f"the application did not settle within {timeout_s:.0f} s: {why_not}")
            time.sleep(0.5)

    def why_unsettled(self) -> str | None:
        """Why not everything runs as it is wanted; None: it does."""
        try:
            details = self._api.details()
        except BadTarget as exc:
            return str(exc)
        # A proxy runs on the head, and on each node that has a replica.
        with_replicas = [worker for worker in self.workers if worker.below(is_any_replica)]
        return why_unsettled(details, self.profile.app_name, 1 + len(with_replicas)) or self._why_unready()

    def worker_of(self, deployment: str) -> RayNode:
        """The worker with the most replicas of a deployment, and of those the one with the most of all."""
        is_wanted = is_replica_of(self.profile.app_name, deployment)
        return max(
            self.workers,
            key=lambda worker: (len(worker.below(is_wanted)), len(worker.below(is_any_replica))),
        )

    def replicas(self, deployment: str) -> list[psutil.Process]:
        """The processes of a deployment's replicas, on all nodes."""
        is_wanted = is_replica_of(self.profile.app_name, deployment)
        return [process for node in self.nodes for process in node.below(is_wanted)]

    def all_replicas(self) -> list[psutil.Process]:
        return [process for node in self.nodes for process in node.below(is_any_replica)]

    def ray_environment(self) -> dict[str, str]:
        """What Ray's own commands need to reach the cluster."""
        return self._plans.ray_environment

    def _worker(self, number: int) -> RayNode:
        more = self.clock.environment if self.clock is not None and number == 0 else {}
        return self._plans.worker(number, more)

    def _why_unready(self) -> str | None:
        for _ in range(NUM_READY):  # a new connection each, so that another proxy may take it
            try:
                response = httpx.get(f"{self.url}/readyz", timeout=10.0, trust_env=False)
            except httpx.HTTPError as exc:
                return f"{self.url}/readyz: {exc or exc.__class__.__name__}"
            if response.status_code != 200:
                return f"{self.url}/readyz answered {response.status_code}: {response.text[:200]}"
        return None
