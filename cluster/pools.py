"""The nodes of each role: which types, how many, and the bounds that are checked against the profile's. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cluster.groups import allowed, nodes_of, peak_nodes_of, prices
from cluster.instances import room
from cluster.packing import num_bins
from cluster.plan_types import GIB, Fit, NodePool, OtherWorkload, WorkerGroup
from configs.instances import Instance
from configs.schema import ClusterConfig, PoolConfig
from configs.schema.cluster.section import Role
from serve_app.errors import ConfigError


def pools(
    cluster: ClusterConfig, groups: Sequence[WorkerGroup], others: Sequence[OtherWorkload]
) -> Iterator[NodePool]:
    """The nodes of every role that has any.

    Raises:
        ConfigError: a pool's bound is below what its pods can come to need.
    """
    for role in ("head", "system", "ingress", "embedding", "cpu", "gpu", "neuron"):
        pool = cluster.pool(role)
        mine = [group for group in groups if group.role == role]
        if pool is None or not (mine or (role == "system" and others)):
            continue
        made = (
            _system_pool(cluster, pool, others) if role == "system" else _ray_pool(cluster, pool, role, mine)
        )
        if made.peak_nodes > pool.max_nodes:
            keys = ", ".join(
                f"{one.key}.scaling.max_replicas {one.max_replicas}"
                for group in mine
                for one in group.replicas
            )
            raise ConfigError(
                f"cluster.pools.{role}.max_nodes is {pool.max_nodes}, and {keys or 'cluster.parts'} can come to need "
                f"{made.peak_nodes} nodes ({made.instance_types[0].name}) while an update is under way: short by "
                f"{made.peak_nodes - pool.max_nodes}"
            )
        yield made


def _ray_pool(
    cluster: ClusterConfig, pool: PoolConfig, role: Role, groups: Sequence[WorkerGroup]
) -> NodePool:
    """Places that are kept free are on nodes, too."""
    zones = len(cluster.zones)

    def nodes(count: str) -> int:
        return sum(
            nodes_of(getattr(group, count) + group.spare_pods, group.best.pods_per_node, zones)
            for group in groups
        )

    types = dict.fromkeys(fit.instance for group in groups for fit in group.fits)
    peak = sum(peak_nodes_of(group, zones) for group in groups)
    counts = (nodes("min_pods"), nodes("expected_pods"), nodes("max_pods"), peak)
    return _pool(pool, role, tuple(types), max(group.best.instance.num_vcpus for group in groups), counts)


def _system_pool(cluster: ClusterConfig, pool: PoolConfig, others: Sequence[OtherWorkload]) -> NodePool:
    fit = _system_fit(cluster, pool, others)
    counts = [
        _system_nodes(cluster, pool, fit.instance, others, count)
        for count in ("min_pods", "expected_pods", "max_pods", "max_pods")
    ]
    types = dict.fromkeys([fit.instance, *_roomy(cluster, pool, others)])
    return _pool(pool, "system", tuple(types), fit.instance.num_vcpus, counts)


def _pool(
    pool: PoolConfig, role: Role, types: tuple[Instance, ...], node_vcpus: int, counts: Sequence[int]
) -> NodePool:
    """`counts`: nodes at least, expected, at most, at the peak."""
    least, expected, most, peak = counts
    # Room for the next size too, where AWS has none of the best to spare.
    largest_vcpus = max(one.num_vcpus for one in types if one.num_vcpus <= 2 * node_vcpus)
    return NodePool(
        role=role,
        instance_types=types,
        capacity=pool.capacity,
        min_nodes=least,
        expected_nodes=expected,
        max_nodes=most,
        peak_nodes=peak,
        max_vcpus=pool.max_nodes * largest_vcpus,
    )


def _roomy(cluster: ClusterConfig, pool: PoolConfig, others: Sequence[OtherWorkload]) -> list[Instance]:
    """Instance types that hold at least one pod of each workload."""
    largest_cpus = max(one.num_cpus for one in others)
    largest_bytes = max(one.memory_bytes for one in others)
    found = []
    for instance in allowed(pool):
        free = room(instance, cluster.allowances, pool.root_volume_gib)
        if free.cpu_millis >= largest_cpus * 1000 and free.memory_bytes >= largest_bytes:
            found.append(instance)
    return found


def _system_fit(cluster: ClusterConfig, pool: PoolConfig, others: Sequence[OtherWorkload]) -> Fit:
    """The instance type whose nodes cost least on an ordinary day."""
    roomy = _roomy(cluster, pool, others)
    if not roomy:
        largest = max(others, key=lambda one: one.memory_bytes)
        raise ConfigError(
            f"{largest.key} fits no instance type of cluster.pools.system: it asks for {largest.num_cpus:g} CPUs and "
            f"{largest.memory_bytes / GIB:g} GiB in one pod"
        )

    def cost(instance: Instance) -> float:
        usd = prices(cluster, instance)[0]
        nodes = _system_nodes(cluster, pool, instance, others, "expected_pods")
        return nodes * (1e6 * instance.num_vcpus if usd is None else usd)

    best = min(roomy, key=cost)
    return Fit(best, 1, *prices(cluster, best))


def _system_nodes(
    cluster: ClusterConfig,
    pool: PoolConfig,
    instance: Instance,
    others: Sequence[OtherWorkload],
    count: str,
) -> int:
    """Nodes that hold so many pods of each, and one a zone where there are pods for it.

    Args:
        count: which of a workload's numbers: `min_pods`, `expected_pods` or `max_pods`.
    """
    free = room(instance, cluster.allowances, pool.root_volume_gib)
    numbers: list[int] = [getattr(one, count) for one in others]
    pods = [
        (one.num_cpus, one.memory_bytes)
        for one, number in zip(others, numbers, strict=True)
        for _ in range(number)
    ]
    full = num_bins(pods, (free.cpu_millis / 1000, free.memory_bytes))
    return max(full, min(max(numbers), len(cluster.zones)))
