"""Worker groups: which deployments share a pod, how large it is, how many there are, and where they fit. Pure.

Deployments beside the ingress share pods of one size. Every other one has pods of its own, a replica in each, so that a
pod is as large as what it runs and Ray can tell them apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from cluster.fitting import pods_per_node, shortfalls
from cluster.packing import num_bins
from cluster.plan_types import GIB, ColdStart, Fit, ImageName, Misfit, PodShape, Replica, WorkerGroup
from configs.instances import Instance, of_family
from configs.prices import REGION, SPOT_SHARE, USD_PER_HOUR
from configs.schema import AllowancesConfig, ClusterConfig, PoolConfig, SharedPoolConfig
from configs.schema.cluster.section import Role
from serve_app.errors import ConfigError

# The autoscaler beside the head: KubeRay's own CPUs, and twice its memory (512 MiB; BuildAutoscalerContainer of
# KubeRay, read 2026-11), because what ends for want of memory there takes the head's pod along (restartPolicy is
# Never).
AUTOSCALER_CPU_MILLIS = 500
AUTOSCALER_MEMORY_BYTES = GIB
_IMAGES: dict[Role, ImageName] = {"gpu": "vllm", "neuron": "neuron"}


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers of something: at least, on an ordinary day, at most, and while an update is under way."""

    least: int
    expected: int
    most: int
    peak: int


def head_group(cluster: ClusterConfig) -> WorkerGroup:
    """Ray's head: one pod, and nothing of ours on it.

    Raises:
        ConfigError: it fits no allowed instance type.
    """
    pool = cluster.pools.head
    pod = _shared_pod(pool, cluster.allowances, is_head=True)
    return _group(cluster, "head", "head", (), pod, Counts(1, 1, 1, 1))


def worker_groups(cluster: ClusterConfig, replicas: Sequence[Replica]) -> tuple[WorkerGroup, ...]:
    """The groups of all deployments, in the order of the flow.

    Raises:
        ConfigError: something fits no allowed instance type; the message says what is short by how much.
    """
    shared = [replica for replica in replicas if replica.role == "ingress"]
    apart = [replica for replica in replicas if replica.role != "ingress"]
    return (_ingress_group(cluster, shared), *(_own_group(cluster, replica) for replica in apart))


def nodes_of(num_pods: int, per_node: int, num_zones: int) -> int:
    """Nodes for so many pods: as few as hold them, but no fewer than the zones that they are spread over."""
    return max(math.ceil(num_pods / per_node), min(num_pods, num_zones))


def peak_nodes_of(group: WorkerGroup, num_zones: int) -> int:
    """Nodes while an update is under way: of the application, in place, or of Ray, by a second cluster that starts with
    its least beside the first one at its most.
    """

    def nodes(num_pods: int) -> int:
        return nodes_of(num_pods, group.best.pods_per_node, num_zones)

    spare = group.spare_pods
    return max(nodes(group.peak_pods + spare), nodes(group.max_pods + spare) + nodes(group.min_pods))


def _ingress_group(cluster: ClusterConfig, shared: Sequence[Replica]) -> WorkerGroup:
    pod = _shared_pod(cluster.pools.ingress, cluster.allowances)
    for replica in shared:
        _require_room(pod, replica)

    def pods(count: Callable[[Replica], int]) -> int:
        sizes = [(one.num_cpus, one.memory_bytes) for one in shared for _ in range(count(one))]
        return num_bins(sizes, (pod.num_cpus, pod.ray_memory_bytes))

    # One a zone at least, where there are replicas for it: three in one pod would go with it.
    spread = min(len(cluster.zones), max(replica.min_replicas for replica in shared))
    counts = Counts(
        max(spread, pods(lambda replica: replica.min_replicas)),
        max(spread, pods(lambda replica: replica.expected_replicas)),
        max(spread, pods(lambda replica: replica.max_replicas)),
        max(spread, pods(lambda replica: replica.peak_replicas)),
    )
    return _group(cluster, "ingress", "ingress", tuple(shared), pod, counts)


def _own_group(cluster: ClusterConfig, replica: Replica) -> WorkerGroup:
    allowances = cluster.allowances
    object_store = int(allowances.object_store_gib * GIB)
    pod = PodShape(
        num_cpus=max(1, math.ceil(replica.num_cpus)),
        memory_bytes=replica.memory_bytes + object_store + int(allowances.ray_memory_gib * GIB),
        ray_memory_bytes=replica.memory_bytes,
        object_store_bytes=object_store,
        num_gpus=replica.num_gpus,
        num_neuron_cores=replica.num_neuron_cores,
        cache_bytes=replica.cache_bytes,
        logical_core_size=replica.logical_core_size,
    )
    counts = Counts(
        replica.min_replicas, replica.expected_replicas, replica.max_replicas, replica.peak_replicas
    )
    return _group(cluster, group_name(replica), replica.role, (replica,), pod, counts)


def group_name(replica: Replica) -> str:
    """A Kubernetes name for a deployment's own group: `embedder`, `model-qwen3-8b`."""
    lowered = replica.deployment.lower()
    name = "".join(letter if letter.isalnum() else "-" for letter in lowered).strip("-")
    return name[:40].rstrip("-")


def _shared_pod(pool: SharedPoolConfig, allowances: AllowancesConfig, *, is_head: bool = False) -> PodShape:
    memory = pool.pod_memory_gib * GIB
    object_store = int(allowances.object_store_gib * GIB)
    left = memory - object_store - int(allowances.ray_memory_gib * GIB)
    if left <= 0:
        raise ConfigError(
            f"cluster.pools: a pod of {pool.pod_memory_gib} GiB leaves nothing beside Ray's own "
            f"{allowances.ray_memory_gib + allowances.object_store_gib:g} GiB (cluster.allowances)"
        )
    return PodShape(
        num_cpus=pool.pod_cpus,
        memory_bytes=memory,
        ray_memory_bytes=0 if is_head else left,
        object_store_bytes=object_store,
        num_gpus=0,
        num_neuron_cores=0,
        cache_bytes=0,
        sidecar_cpu_millis=AUTOSCALER_CPU_MILLIS if is_head else 0,
        sidecar_memory_bytes=AUTOSCALER_MEMORY_BYTES if is_head else 0,
    )


def _require_room(pod: PodShape, replica: Replica) -> None:
    if replica.num_cpus > pod.num_cpus:
        raise ConfigError(
            f"{replica.key}.scaling.num_cpus is {replica.num_cpus:g}, and cluster.pools.ingress.pod_cpus is "
            f"{pod.num_cpus}: short by {replica.num_cpus - pod.num_cpus:g}"
        )
    if replica.memory_bytes > pod.ray_memory_bytes:
        short = (replica.memory_bytes - pod.ray_memory_bytes) / GIB
        raise ConfigError(
            f"cluster.replicas.{replica.name}.memory_gib is {replica.memory_bytes / GIB:g}, and a pod of "
            f"cluster.pools.ingress.pod_memory_gib has {pod.ray_memory_bytes / GIB:g} GiB for replicas: short by "
            f"{short:.2f} GiB"
        )


def _group(
    cluster: ClusterConfig,
    name: str,
    role: Role,
    replicas: tuple[Replica, ...],
    pod: PodShape,
    counts: Counts,
) -> WorkerGroup:
    pool = cluster.pool(role)
    if pool is None:
        asker = replicas[0].key if replicas else "the profile"
        raise ConfigError(f"cluster.pools.{role} must be set: {asker} runs there")
    replica = replicas[0] if len(replicas) == 1 else None
    fits, misfits = _fits(cluster, pool, pod, counts.expected, replica)
    if not fits:
        raise ConfigError(_no_fit(role, replicas, misfits))
    return WorkerGroup(
        name=name,
        role=role,
        image=_IMAGES.get(role, "cpu"),
        replicas=replicas,
        pod=pod,
        min_pods=counts.least,
        expected_pods=counts.expected,
        max_pods=counts.most,
        peak_pods=counts.peak,
        spare_pods=pool.buffer_pods,
        capacity=pool.capacity,
        fits=fits,
        misfits=misfits,
        cold_start=_cold_start(cluster.allowances, pod, replicas),
        drain_s=max((one.drain_s for one in replicas), default=0.0),
    )


def _fits(
    cluster: ClusterConfig, pool: PoolConfig, pod: PodShape, num_expected: int, replica: Replica | None
) -> tuple[tuple[Fit, ...], tuple[Misfit, ...]]:
    fits, misfits = [], []
    for instance in allowed(pool):
        missing = shortfalls(
            pod,
            instance,
            cluster.allowances,
            pool.root_volume_gib,
            device_memory_gib=None if replica is None else replica.device_memory_gib,
            memory_share=None if replica is None else replica.memory_share,
        )
        if replica is not None and replica.instance_type not in {None, instance.name}:
            missing = (f"{replica.key}.neuron.instance_type is {replica.instance_type}",)
        if missing:
            misfits.append(Misfit(instance, missing))
        else:
            per_node = pods_per_node(pod, instance, cluster.allowances, pool.root_volume_gib)
            usd, spot = prices(cluster, instance)
            fits.append(Fit(instance, per_node, usd, spot))
    return _ordered(fits, pool, num_expected, len(cluster.zones)), tuple(misfits)


def allowed(pool: PoolConfig) -> Iterable[Instance]:
    """The instance types that a pool may buy, by the order of its families, the smallest first."""
    for family in pool.instance_families:
        for instance in of_family(family):
            if pool.max_vcpus_per_node is None or instance.num_vcpus <= pool.max_vcpus_per_node:
                yield instance


def _ordered(fits: Sequence[Fit], pool: PoolConfig, num_expected: int, num_zones: int) -> tuple[Fit, ...]:
    """The preferred processor first, then what costs least on an ordinary day, then the smaller one."""
    preferred = of_family(pool.instance_families[0])[0].architecture

    def rank(fit: Fit) -> tuple[bool, float, int]:
        nodes = max(1, nodes_of(num_expected, fit.pods_per_node, num_zones))
        price = fit.usd_per_hour if pool.capacity[0] == "on-demand" else fit.spot_usd_per_hour
        # Without a price the smaller instance is taken to be the cheaper one.
        cost = nodes * (1e6 * fit.instance.num_vcpus if price is None else price)
        return fit.instance.architecture != preferred, cost, fit.instance.num_vcpus

    return tuple(sorted(fits, key=rank))


def prices(cluster: ClusterConfig, instance: Instance) -> tuple[float | None, float | None]:
    """US dollars an hour, on demand and on spot; None: not known for this region."""
    listed = USD_PER_HOUR.get(instance.name) if cluster.region == REGION else None
    usd = cluster.usd_per_hour.get(instance.name, listed)
    listed_share = SPOT_SHARE.get(instance.family) if cluster.region == REGION else None
    share = cluster.spot_share.get(instance.family, listed_share)
    return usd, None if usd is None or share is None else usd * share


def _cold_start(allowances: AllowancesConfig, pod: PodShape, replicas: Sequence[Replica]) -> ColdStart:
    has_devices = bool(pod.num_gpus or pod.num_neuron_cores)
    return ColdStart(
        node_s=allowances.device_node_s if has_devices else allowances.node_s,
        image_s=allowances.device_image_s if has_devices else allowances.image_s,
        weights_s=pod.cache_bytes / GIB / allowances.weights_gib_per_s,
        start_s=max((one.start_s for one in replicas), default=0.0),
    )


def _no_fit(role: Role, replicas: Sequence[Replica], misfits: Sequence[Misfit]) -> str:
    """Names the largest instance, since what is short there is short everywhere in its family."""
    who = f"{replicas[0].key} ({replicas[0].name})" if len(replicas) == 1 else f"a pod of {role}"
    if not misfits:
        return (
            f"cluster.pools.{role} allows no instance type at all: max_vcpus_per_node is below the smallest"
        )
    nearest = min(misfits, key=lambda one: (len(one.shortfalls), -one.instance.num_vcpus))
    return (
        f"{who} fits no instance type of cluster.pools.{role}; nearest is {nearest.instance.name}: "
        f"{', '.join(nearest.shortfalls)}"
    )
