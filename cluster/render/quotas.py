"""What a namespace may take altogether, and what a container gets that does not say: the plan's peak, and no more.

Twice the peak for Ray, because a new version of its cluster runs beside the old one; and twice for other parts, whose
rollouts start new pods before they stop old ones. Without a quota a slip in `max_replicas` is a bill.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cluster.fitting import num_neuron_devices
from cluster.plan_types import GIB, ClusterPlan, WorkerGroup
from cluster.render import names
from cluster.render.namespaces import used
from cluster.render.objects import Object, metadata
from cluster.section import cluster_of
from configs.schema import ClusterConfig, PlatformConfig

_VERSIONS_AT_ONCE = 2
_MIB = 2**20
_GATEWAYS = 2  # in one namespace: without LiteLLM the entrance's is beside KubeRay's
_GATEWAY_PORTS = 3  # of a Service before proxies: the listener's, and their own state's
_LANGFUSE_PODS = 24  # two each of its own, two of ClickHouse, three keepers; and all of that once more


@dataclass(slots=True)
class Sum:
    """Pods and what they ask for. Begins with room for what nobody plans: KubeRay's job that cleans Redis up, say."""

    pods: int = 6
    cpus: float = 6.0
    memory_bytes: int = 12 * GIB
    devices: dict[str, int] = field(default_factory=dict)  # extended resource -> number
    largest_bytes: int = 2 * GIB  # memory of the largest pod

    def add(self, number: int, cpus: float, memory_bytes: int) -> None:
        self.largest_bytes = max(self.largest_bytes, memory_bytes)
        self.pods += number
        self.cpus += number * cpus
        self.memory_bytes += number * memory_bytes

    def add_group(self, group: WorkerGroup, number: int) -> None:
        pod = group.pod
        cpus = pod.num_cpus + pod.sidecar_cpu_millis / 1000
        self.add(number, cpus, pod.memory_bytes + pod.sidecar_memory_bytes)
        for resource, count in devices_of(group).items():
            self.devices[resource] = self.devices.get(resource, 0) + number * count


def quotas(config: PlatformConfig, plan: ClusterPlan) -> list[Object]:
    """A ResourceQuota for each namespace, and a LimitRange where all pods are ours.

    What others' operators and charts make (OpenSearch's, Langfuse's) says nothing of its resources at times: there only
    pods are counted, for a quota of memory would refuse such pods, and a default would starve them.
    """
    cluster = cluster_of(config)
    others = {cluster.namespaces.knowledge}
    if cluster.parts.langfuse is not None:
        others.add(cluster.namespaces.observability)
    made = []
    for namespace in used(config):
        needed = _needed(config, plan, namespace)
        if namespace in others:
            made.append(_quota(namespace, _counts(cluster, namespace, needed)))
        else:
            made.append(_quota(namespace, _counts(cluster, namespace, needed) | _resources(needed)))
            made.append(_limits(namespace, needed))
    return made


def devices_of(group: WorkerGroup) -> dict[str, int]:
    """Devices of one pod, by the resource that Kubernetes counts them as; on whatever instance type takes most."""
    devices = {
        "nvidia.com/gpu": group.pod.num_gpus,
        "aws.amazon.com/neuron": max(num_neuron_devices(group.pod, fit.instance) for fit in group.fits),
    }
    return {resource: number for resource, number in devices.items() if number}


def _needed(config: PlatformConfig, plan: ClusterPlan, namespace: str) -> Sum:
    cluster = cluster_of(config)
    spaces = cluster.namespaces
    needed = Sum()
    if namespace == spaces.application:
        for group in (plan.head, *plan.groups):
            needed.add_group(group, group.peak_pods * _VERSIONS_AT_ONCE + group.spare_pods)
    where = {
        names.LITELLM: spaces.gateway,
        names.COLLECTOR: spaces.observability,
        "opensearch": spaces.knowledge,
    }
    if namespace == spaces.observability and cluster.parts.langfuse is not None:
        needed.pods += _LANGFUSE_PODS
    for other in plan.others:
        if where.get(other.name, spaces.application) == namespace:
            needed.add(other.max_pods * _VERSIONS_AT_ONCE, other.num_cpus, other.memory_bytes)
    return needed


def _counts(cluster: ClusterConfig, namespace: str, needed: Sum) -> dict[str, str]:
    """The way in is the entrance, so there are no Services that open another.

    But for a Gateway's proxies, which stand behind one with a load balancer and its ports: the entrance's, and those
    that KubeRay's own Gateway has beside Ray.
    """
    has_gateway = cluster.entrance.kind == "gateway-api" and namespace in (
        cluster.namespaces.application,
        cluster.namespaces.gateway,
    )
    balancers, ports = (_GATEWAYS, _GATEWAYS * _GATEWAY_PORTS) if has_gateway else (0, 0)
    return {
        "pods": str(needed.pods),
        "services.loadbalancers": str(balancers),
        "services.nodeports": str(ports),
    }


def _resources(needed: Sum) -> dict[str, str]:
    """No limit of CPUs: who streams shall not be throttled."""
    memory = f"{-(-needed.memory_bytes // _MIB)}Mi"
    hard = {
        "requests.cpu": f"{round(needed.cpus * 1000)}m",
        "requests.memory": memory,
        "limits.memory": memory,
    }
    return hard | {f"requests.{resource}": str(number) for resource, number in sorted(needed.devices.items())}


def _quota(namespace: str, hard: dict[str, str]) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": metadata("manta", "quota", namespace),
        "spec": {"hard": hard},
    }


def _limits(namespace: str, needed: Sum) -> Object:
    """For init containers and what KubeRay starts: the quota would refuse what asks for nothing.

    Nothing about the most CPUs: Kubernetes makes a container's limit of it where it has none.
    """
    limit = {
        "type": "Container",
        "default": {"memory": "512Mi"},
        "defaultRequest": {"cpu": "100m", "memory": "256Mi"},
        "max": {"memory": f"{-(-needed.largest_bytes // _MIB)}Mi"},
    }
    return {
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": metadata("manta", "quota", namespace),
        "spec": {"limits": [limit]},
    }
