"""A KubeRay operator by script: the rounds of the real one (v1.7), at a pace and with a fate that a test chooses.

What it copies from rayservice_controller.go: a RayService gets a pending RayCluster, which becomes the active one
when Serve runs on it; another rayClusterConfig makes another pending one, but for the groups' numbers of workers,
which reach no RayCluster that is there; another serveConfigV2 alone is handed to
Serve in place, in the round *after* whose beginning Serve's state was read, so that one round reports the old
state under the new generation; `observedGeneration` is written only when something else changes too; an invalid
spec sets a condition and leaves everything else as it was.
"""

from __future__ import annotations

import copy
import json
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from apiserver.server import ApiServer
from apiserver.store import Document, stamp

REDIS_FINALIZER = "ray.io/gcs-ft-redis-cleanup-finalizer"
Applications = dict[str, Any]
RUNNING = {
    "manta": {
        "status": "RUNNING",
        "message": "",
        "serveDeploymentStatuses": {"Ingress": {"status": "HEALTHY"}},
    }
}
READY_POD = {
    "phase": "Running", "conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "True"}],
    "containerStatuses": [{"name": "ray", "ready": True, "restartCount": 0, "state": {"running": {}}}],
}  # fmt: skip


def application(status: str, message: str = "", **deployments: str) -> Applications:
    inner = {name: {"status": one, "message": ""} for name, one in deployments.items()}
    return {"manta": {"status": status, "message": message, "serveDeploymentStatuses": inner}}


def _as_wanted(document: Document) -> Document:
    """All is well."""
    if document["kind"] == "Ingress":
        return {"loadBalancer": {"ingress": [{"hostname": "manta.elb.example.com"}]}}
    replicas = document["spec"].get("replicas", 1)
    return {
        "observedGeneration": document["metadata"]["generation"], "replicas": replicas,
        "updatedReplicas": replicas, "availableReplicas": replicas,
    }  # fmt: skip


@dataclass
class World:
    """What happens to what the operator asks for."""

    pod: Callable[[Document], Document] = lambda pod: READY_POD
    # (serveConfigV2, rounds since Serve got it) -> applications
    serve: Callable[[str, int], Applications] = lambda config, rounds: (
        RUNNING if rounds > 2 else application("DEPLOYING", Ingress="UPDATING")
    )
    judged: tuple[str, ...] = ("Deployment", "Ingress")
    # What the controllers of those kinds say of an object; None: nothing
    others: Callable[[Document], Document | None] = lambda document: _as_wanted(document)
    cleanup_rounds: int = 0  # that a RayCluster's finalizer stays after its deletion
    makes_another: bool = True  # RayCluster for another rayClusterConfig; not with upgradeStrategy.type None
    invalid: Callable[[Document], str] = lambda spec: ""


@dataclass
class Operator:
    """Reconciles in its own thread, once a round."""

    api: ApiServer
    world: World = field(default_factory=World)
    round_s: float = 0.05
    num_rounds: int = 0
    _configs: dict[str, tuple[str, int]] = field(
        default_factory=dict
    )  # RayCluster -> (config, round of handing over)
    _ends: dict[str, int] = field(default_factory=dict)
    _stopped: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self._stopped.wait(self.round_s):
            self.num_rounds += 1
            for service in self.api.all("RayService"):
                if not service["metadata"].get("deletionTimestamp"):
                    self._reconcile(service)
            for cluster in self.api.all("RayCluster"):
                self._end(cluster) if cluster["metadata"].get("deletionTimestamp") else self._pods(cluster)

            for kind in self.world.judged:
                for document in self.api.all(kind):
                    self._judge(document)

    def _judge(self, document: Document) -> None:
        status = self.world.others(document)
        metadata = document["metadata"]
        if status is not None and document.get("status") != status:
            key = self.api.key(document["kind"], metadata.get("namespace", ""), metadata["name"])
            self.api.store.change(key, lambda one: one.update(status=status))

    def stop(self) -> None:
        self._stopped.set()

    def _reconcile(self, service: Document) -> None:
        before = copy.deepcopy(service.get("status") or {})
        status = copy.deepcopy(before)
        if fault := self.world.invalid(service["spec"]):
            _set(status, "Ready", "False", "ValidationFailed", fault)
            self._write(service, status)
            return
        active, pending = status.get("activeServiceStatus") or {}, status.get("pendingServiceStatus") or {}
        for one in (pending, active):
            if one.get("rayClusterName") and self._cluster(service, one["rayClusterName"]) is None:
                self._create(service, one["rayClusterName"])
        wanted = _hash(service)
        target = pending if pending.get("rayClusterName") else active
        is_up = False
        if target.get("rayClusterName"):
            cluster = self._cluster(service, target["rayClusterName"])
            is_same = cluster is not None and (
                cluster["metadata"]["annotations"]["hash"] == wanted or not self.world.makes_another
            )
            if is_same and self._head_is_ready(target["rayClusterName"]):
                target["applicationStatuses"] = self._serve(
                    target["rayClusterName"], service["spec"]["serveConfigV2"]
                )
                states = [one["status"] for one in target["applicationStatuses"].values()]
                is_up = bool(states) and all(one == "RUNNING" for one in states)
        else:
            is_same = False
        if target is pending and is_up:
            self._retire(active.get("rayClusterName"))
            active, pending = pending, {}
        elif not is_same:
            pending = {"rayClusterName": f"{service['metadata']['name']}-{random.randbytes(3).hex()}"}
        status["activeServiceStatus"], status["pendingServiceStatus"] = active, pending
        if not status.get("conditions"):
            for kind in ("Ready", "UpgradeInProgress"):
                _set(status, kind, "False", "Initializing", "RayService is initializing")
        status["observedGeneration"] = service["metadata"]["generation"]
        self._conditions(status, active, pending)
        ready = next(one for one in status["conditions"] if one["type"] == "Ready")
        status["serviceStatus"] = "Running" if ready["status"] == "True" else ""
        plain = {
            key: value for key, value in status.items() if key not in ("observedGeneration", "lastUpdateTime")
        }
        if plain != {key: value for key, value in before.items() if key in plain}:
            self._write(service, status)

    def _conditions(self, status: Document, active: Document, pending: Document) -> None:
        seen = status["observedGeneration"]
        num_pods = sum(
            one["status"].get("phase") == "Running" for one in self.api.all("Pod")
            if one["metadata"]["labels"]["ray.io/cluster"] == active.get("rayClusterName")
        )  # fmt: skip
        status["numServeEndpoints"] = num_pods
        if num_pods:
            _set(
                status,
                "Ready",
                "True",
                "NonZeroServeEndpoints",
                "Number of serve endpoints is greater than 0",
                seen,
            )
        elif any(one["type"] == "Ready" and one["status"] == "True" for one in status["conditions"]):
            _set(
                status, "Ready", "False", "ZeroServeEndpoints", "Number of serve endpoints dropped to 0", seen
            )
        if active and pending:
            _set(status, "UpgradeInProgress", "True", "BothActivePendingClustersExist",
                 "Both active and pending Ray clusters exist", seen)  # fmt: skip
        elif active:
            _set(status, "UpgradeInProgress", "False", "NoPendingCluster",
                 "Active Ray cluster exists and no pending Ray cluster", seen)  # fmt: skip

    def _serve(self, cluster: str, config: str) -> Applications:
        """Serve's state as it was before it got this configuration."""
        had, since = self._configs.get(cluster, ("", self.num_rounds))
        state = self.world.serve(had, self.num_rounds - since) if had else {}
        if had != config:
            self._configs[cluster] = (config, self.num_rounds)
        return copy.deepcopy(state)

    def _write(self, service: Document, status: Document) -> None:
        status["lastUpdateTime"] = stamp()
        key = self.api.key("RayService", service["metadata"]["namespace"], service["metadata"]["name"])
        self.api.store.change(key, lambda one: one.update(status=status))

    def _cluster(self, service: Document, name: str) -> Document | None:
        return self.api.get("RayCluster", service["metadata"]["namespace"], name)

    def _create(self, service: Document, name: str) -> None:
        metadata = service["metadata"]
        self.api.put({
            "apiVersion": "ray.io/v1", "kind": "RayCluster",
            "metadata": {
                "name": name, "namespace": metadata["namespace"], "annotations": {"hash": _hash(service)},
                "labels": {
                    "ray.io/originated-from-cr-name": metadata["name"], "ray.io/originated-from-crd": "RayService",
                },
                "finalizers": [REDIS_FINALIZER],
                "ownerReferences": [
                    {"apiVersion": "ray.io/v1", "kind": "RayService", "name": metadata["name"], "uid": metadata["uid"]}
                ],
            },
            "spec": service["spec"].get("rayClusterConfig") or {},
        })  # fmt: skip

    def _pods(self, cluster: Document) -> None:
        metadata = cluster["metadata"]
        groups = ["headgroup", *(one["groupName"] for one in cluster["spec"].get("workerGroupSpecs") or [])]
        for group in groups:
            name = f"{metadata['name']}-{group}"
            if self.api.get("Pod", metadata["namespace"], name) is not None:
                continue
            pod = {
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {
                    "name": name, "namespace": metadata["namespace"],
                    "labels": {
                        "ray.io/cluster": metadata["name"], "ray.io/group": group,
                        "ray.io/node-type": "head" if group == "headgroup" else "worker",
                    },
                    "ownerReferences": [
                        {
                            "apiVersion": "ray.io/v1", "kind": "RayCluster",
                            "name": metadata["name"], "uid": metadata["uid"],
                        }
                    ],
                },
                "spec": {"containers": [{"name": "ray"}]},
            }  # fmt: skip
            self.api.put(pod | {"status": self.world.pod(pod)})

    def _head_is_ready(self, cluster: str) -> bool:
        return any(
            one["metadata"]["labels"]["ray.io/cluster"] == cluster
            and one["metadata"]["labels"]["ray.io/node-type"] == "head" and one["status"].get("phase") == "Running"
            for one in self.api.all("Pod")
        )  # fmt: skip

    def _retire(self, name: str | None) -> None:
        for cluster in self.api.all("RayCluster"):
            if cluster["metadata"]["name"] == name:
                self.api.store.delete(self.api.key("RayCluster", cluster["metadata"]["namespace"], name))

    def _end(self, cluster: Document) -> None:
        name = cluster["metadata"]["name"]
        begun = self._ends.setdefault(name, self.num_rounds)
        if self.num_rounds - begun >= self.world.cleanup_rounds:
            key = self.api.key("RayCluster", cluster["metadata"]["namespace"], name)
            self.api.store.change(key, lambda one: one["metadata"].update(finalizers=[]))


def _hash(service: Document) -> str:
    """Of all that makes another RayCluster: how many workers a group has, or may have, is the autoscaler's."""
    config = copy.deepcopy(service["spec"].get("rayClusterConfig") or {})
    for group in config.get("workerGroupSpecs") or []:
        for number in ("replicas", "minReplicas", "maxReplicas"):
            group.pop(number, None)
    return json.dumps(config, sort_keys=True)


def _set(status: Document, kind: str, value: str, reason: str, message: str, seen: int | None = None) -> None:
    conditions = status.setdefault("conditions", [])
    made = {"type": kind, "status": value, "reason": reason, "message": message}
    made |= {"observedGeneration": seen} if seen is not None else {}
    for position, one in enumerate(conditions):
        if one["type"] == kind:
            same = one["status"] == value
            conditions[position] = made | {
                "lastTransitionTime": one["lastTransitionTime"] if same else stamp()
            }
            return
    conditions.append(made | {"lastTransitionTime": stamp()})


@contextmanager
def operating(api: ApiServer, world: World | None = None) -> Iterator[Operator]:
    operator = Operator(api, world or World())
    thread = threading.Thread(target=operator.run)
    thread.start()
    try:
        yield operator
    finally:
        operator.stop()
        thread.join()
