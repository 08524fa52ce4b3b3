"""Warm places: nodes that are there before a pod needs them, where `pools.ROLE.buffer_pods` asks for any.

With Karpenter a CapacityBuffer, which makes no pods; it is alpha, so Karpenter's feature gate `CapacityBuffer` must be
on. EKS Auto Mode documents none, so there it is pods that sleep, at a priority below everybody's: the first that needs
the place ends them.

https://karpenter.sh/docs/concepts/capacitybuffers/
"""

from __future__ import annotations

from cluster.plan_types import ClusterPlan, WorkerGroup
from cluster.render import names
from cluster.render.objects import Object, metadata
from cluster.render.quotas import devices_of
from cluster.render.ray.pods import where_devices_suffice
from cluster.section import cluster_of
from configs.schema import ClusterConfig, PlatformConfig

PLACEHOLDER_PRIORITY = "manta-placeholder"
_MIB = 2**20


def buffers(config: PlatformConfig, plan: ClusterPlan) -> list[Object]:
    """What keeps the places; nothing where none are asked for."""
    cluster = cluster_of(config)
    wanted = [group for group in plan.groups if group.spare_pods]
    if not wanted:
        return []
    if cluster.compute == "auto-mode":
        return [_priority(), *(_placeholder(cluster, group) for group in wanted)]
    made = []
    for group in wanted:
        made += [_template(cluster, group), _buffer(cluster, group)]
    return made


def _name(group: WorkerGroup) -> str:
    return f"warm-{group.name}"


def _buffer(cluster: ClusterConfig, group: WorkerGroup) -> Object:
    return {
        "apiVersion": "autoscaling.x-k8s.io/v1alpha1",
        "kind": "CapacityBuffer",
        "metadata": metadata(_name(group), "buffer", cluster.namespaces.application),
        "spec": {
            "provisioningStrategy": "buffer.x-k8s.io/active-capacity",
            "podTemplateRef": {"name": _name(group)},
            "replicas": group.spare_pods,
        },
    }


def _template(cluster: ClusterConfig, group: WorkerGroup) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PodTemplate",
        "metadata": metadata(_name(group), "buffer", cluster.namespaces.application),
        "template": _pod(cluster, group),
    }


def _pod(cluster: ClusterConfig, group: WorkerGroup) -> Object:
    """As large as one of the group's, and at home on the same nodes."""
    resources = {"cpu": str(group.pod.num_cpus), "memory": f"{group.pod.memory_bytes // _MIB}Mi"}
    resources |= {resource: str(number) for resource, number in devices_of(group).items()}
    container = {
        "name": "place",
        "image": cluster.images.cpu,
        "command": ["sleep", "infinity"],
        "resources": {"requests": resources, "limits": dict(resources)},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    return {
        "metadata": {"labels": names.labels("buffer")},
        "spec": {
            "automountServiceAccountToken": False,
            "containers": [container],
            "nodeSelector": {names.ROLE_LABEL: group.role},
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "terminationGracePeriodSeconds": 0,
            "tolerations": [names.role_toleration(group.role)],
            **where_devices_suffice(group),
        },
    }


def _priority() -> Object:
    return {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": metadata(PLACEHOLDER_PRIORITY, "buffer"),
        "value": -10,
        "globalDefault": False,
        "preemptionPolicy": "Never",
        "description": "Pods that only keep a place: anybody may have it.",
    }


def _placeholder(cluster: ClusterConfig, group: WorkerGroup) -> Object:
    pod = _pod(cluster, group)
    labels = pod["metadata"]["labels"] | {names.PLACE_LABEL: group.name}
    pod["metadata"]["labels"] = labels
    pod["spec"]["priorityClassName"] = PLACEHOLDER_PRIORITY
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(_name(group), "buffer", cluster.namespaces.application),
        "spec": {
            "replicas": group.spare_pods,
            "selector": {"matchLabels": {names.PLACE_LABEL: group.name}},
            "template": pod,
        },
    }
