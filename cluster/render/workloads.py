"""Deployments of what is not Ray: LiteLLM, the collector, ingestion. The same care for each, written once.

Pods meet the `restricted` Pod Security Standard, run on the system pool, spread over zones and nodes, write nowhere but
into `/tmp`, and get secrets as environment variables by reference. Knows no part by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cluster.render import names
from cluster.render.objects import Object, metadata
from configs.schema.cluster.section import Role

Container = dict[str, Any]
# https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted (2026-11)
POD_SECURITY: Object = {
    "runAsNonRoot": True,
    "runAsUser": 10001,
    "runAsGroup": 10001,
    "fsGroup": 10001,
    "seccompProfile": {"type": "RuntimeDefault"},
}
CONTAINER_SECURITY: Object = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


@dataclass(frozen=True, slots=True)
class Workload:
    """A Deployment of one container."""

    name: str  # of the Deployment, of its pods' component, and of the container
    namespace: str
    account: str
    image: str
    replicas: int | None  # None: something else decides
    cpus: float
    memory_gib: float
    ports: Mapping[str, int]
    command: Sequence[str]
    env: Sequence[Object] = ()
    prepare: Sequence[str] = ()  # a command that has to succeed before the other one starts
    prepare_env: Sequence[Object] = ()  # for it besides
    files: Mapping[str, str] = field(default_factory=dict)  # ConfigMap -> where it is mounted
    checksum: str | None = None  # of those files: a change replaces the pods
    probes: Mapping[str, Object] = field(default_factory=dict)
    limits_cpu: bool = True
    temporary_gib: float = 1.0
    grace_s: int = 30
    drain_s: int = 0  # before SIGTERM, while load balancers stop sending
    role: Role = "system"
    priority: str | None = None  # None: that of pods without one


def deployment(workload: Workload) -> Object:
    """The Deployment. At a rollout no pod goes before its successor is ready."""
    template = {
        "metadata": {
            "labels": names.labels(workload.name),
            **({"annotations": {"manta.dev/checksum": workload.checksum}} if workload.checksum else {}),
        },
        "spec": _pod(workload),
    }
    replicas = {} if workload.replicas is None else {"replicas": workload.replicas}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(workload.name, workload.name, workload.namespace),
        "spec": replicas
        | {
            "revisionHistoryLimit": 3,
            "selector": {"matchLabels": selector(workload.name)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": template,
        },
    }


def service(name: str, namespace: str, ports: Mapping[str, int]) -> Object:
    """A Service before its pods, each port under the container's own name for it."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(name, name, namespace),
        "spec": {
            "type": "ClusterIP",
            "selector": selector(name),
            "ports": [
                {"name": port, "port": number, "targetPort": port, "protocol": "TCP"}
                for port, number in ports.items()
            ],
        },
    }


def disruption_budget(name: str, namespace: str) -> Object:
    """Lets one of its pods go at a time; of a single one too, or its node could never be replaced."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(name, name, namespace),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": selector(name)},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }


def config_map(name: str, component: str, namespace: str, files: Mapping[str, str]) -> Object:
    """Texts by file name."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(name, component, namespace),
        "data": dict(files),
    }


def selector(component: str) -> dict[str, str]:
    """The labels that choose a part's pods: those that never change."""
    return {names.PART_OF_LABEL: names.APP, names.COMPONENT_LABEL: component}


def from_secret(variable: str, secret: str, key: str | None = None) -> Object:
    """An environment variable whose value is in a Secret."""
    return {"name": variable, "valueFrom": {"secretKeyRef": {"name": secret, "key": key or variable}}}


def http_probe(path: str, port: str, **settings: int) -> Object:
    return {"httpGet": {"path": path, "port": port}, **settings}


def _pod(workload: Workload) -> Object:
    return {
        "serviceAccountName": workload.account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": POD_SECURITY,
        "terminationGracePeriodSeconds": workload.drain_s + workload.grace_s,
        **({"priorityClassName": workload.priority} if workload.priority else {}),
        "nodeSelector": {names.ROLE_LABEL: workload.role},
        "tolerations": [names.role_toleration(workload.role)],
        "topologySpreadConstraints": [
            # Zones may be short of room, and a pod in the wrong one is better than none.
            _spread(workload.name, "topology.kubernetes.io/zone"),
            _spread(workload.name, "kubernetes.io/hostname"),
        ],
        **({"initContainers": [_preparation(workload)]} if workload.prepare else {}),
        "containers": [_container(workload)],
        "volumes": [
            {"name": "tmp", "emptyDir": {"sizeLimit": quantity_gib(workload.temporary_gib)}},
            *({"name": name, "configMap": {"name": name}} for name in workload.files),
        ],
    }


def _preparation(workload: Workload) -> Container:
    """The same image, files and resources; no ports and no probes."""
    alike = _container(workload)
    return {key: alike[key] for key in ("image", "resources", "securityContext", "volumeMounts")} | {
        "name": "prepare",
        "command": list(workload.prepare),
        "env": [*workload.env, *workload.prepare_env],
    }


def _container(workload: Workload) -> Container:
    memory = quantity_gib(workload.memory_gib)
    cpu = quantity_cpus(workload.cpus)
    container: Container = {
        "name": workload.name,
        "image": workload.image,
        "command": list(workload.command),
        "ports": [
            {"name": name, "containerPort": port, "protocol": "TCP"} for name, port in workload.ports.items()
        ],
        "env": list(workload.env),
        "resources": {
            "requests": {"cpu": cpu, "memory": memory},
            "limits": ({"cpu": cpu} if workload.limits_cpu else {}) | {"memory": memory},
        },
        "securityContext": CONTAINER_SECURITY,
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 (a volume of the pod's own)
            *({"name": name, "mountPath": path, "readOnly": True} for name, path in workload.files.items()),
        ],
        **workload.probes,
    }
    if workload.drain_s:
        container["lifecycle"] = {"preStop": {"sleep": {"seconds": workload.drain_s}}}
    return container


def _spread(component: str, over: str) -> Object:
    return {
        "maxSkew": 1,
        "topologyKey": over,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": selector(component)},
    }


def quantity_gib(gib: float) -> str:
    """As Kubernetes writes memory: whole `Gi` where it is whole, else `Mi`."""
    return f"{gib:.0f}Gi" if gib == int(gib) else f"{round(gib * 1024)}Mi"


def quantity_cpus(cpus: float) -> str:
    return f"{cpus:.0f}" if cpus == int(cpus) else f"{round(cpus * 1000)}m"
