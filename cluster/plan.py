"""PlatformConfig -> ClusterPlan: everything that follows from a profile, before anything is rendered or bought. Pure.

    replicas   what each deployment's replica takes          (cluster.replicas)
    groups     pods that hold them, and where those fit      (cluster.groups, cluster.fitting)
    pools      nodes of each role, and their bounds          (here)
    money      dollars an hour, and quotas                   (cluster.costs)

Reaches nothing: no AWS, no cluster, no file.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from cluster import costs
from cluster.groups import allowed, head_group, nodes_of, peak_nodes_of, prices, worker_groups
from cluster.instances import room
from cluster.plan_types import (
    GIB,
    ClusterPlan,
    CostLine,
    Fit,
    Forced,
    NodePool,
    OtherWorkload,
    Replica,
    WorkerGroup,
)
from cluster.replicas import replicas_of
from cluster.section import cluster_of
from cluster.warnings import warnings
from cluster.waves import waves
from configs.instances import FACTS_SOURCE, Instance
from configs.load import Profile
from configs.prices import AS_OF, SOURCE, SPOT_SOURCE
from configs.schema import ClusterConfig, PlatformConfig, PoolConfig, VllmModel
from configs.schema.cluster import Role
from serve_app.engines.neuron.device import check_plan
from serve_app.errors import ConfigError

RAY_VERSION = "2.60.0"  # as pyproject.toml pins it; a test compares
PORT = 8000  # what Services, rules of the network and monitors are written for


def plan(profile: Profile) -> ClusterPlan:
    """What a profile's cluster is.

    Raises:
        ProfileError: the profile has no `cluster`.
        ConfigError: something fits no allowed instance, or exceeds a bound; the message names the key, and which
            number is short by how much.
    """
    config = profile.platform
    cluster = cluster_of(config)
    if profile.port != PORT:
        raise ConfigError(f"http_options.port is {profile.port}; in a cluster it is {PORT}")
    for model in profile.platform.models:
        if isinstance(model, VllmModel):
            check_plan(model)
    head = head_group(cluster)
    groups = worker_groups(cluster, replicas_of(config))
    _require_names(groups)
    others = tuple(_others(config))
    pools = tuple(_pools(cluster, (head, *groups), others))
    lines = (costs.control_plane(), *_lines(cluster, (head, *groups), pools, others))
    return ClusterPlan(
        profile=profile.path.stem,
        app_name=profile.app_name,
        route_prefix=profile.route_prefix,
        serve_options=dict(profile.serve_options),
        application=dict(profile.application),
        ray_version=RAY_VERSION,
        head=head,
        groups=groups,
        others=others,
        pools=pools,
        costs=lines,
        total=costs.total(lines),
        waves=waves(),
        forced=tuple(_forced(config, groups)),
        warnings=tuple(warnings(config, groups)),
        quotas=costs.quotas(_bought(cluster, (head, *groups), pools)),
        price_source=f"{SOURCE} ({AS_OF}); {SPOT_SOURCE}; {FACTS_SOURCE}",
    )


def _bought(
    cluster: ClusterConfig, groups: Sequence[WorkerGroup], pools: Sequence[NodePool]
) -> Iterator[tuple[Instance, int, bool]]:
    """Nodes at the peak: instance type, how many, whether on spot."""
    for group in groups:
        nodes = peak_nodes_of(group, len(cluster.zones))
        yield group.best.instance, nodes, group.capacity[0] == "spot"
    for pool in pools:
        if pool.role == "system":
            yield pool.instance_types[0], pool.peak_nodes, pool.capacity[0] == "spot"


def _require_names(groups: Sequence[WorkerGroup]) -> None:
    for name, count in Counter(group.name for group in groups).items():
        if count > 1:
            keys = [group.replicas[0].key for group in groups if group.name == name]
            raise ConfigError(f"{' and '.join(keys)} would both be the worker group {name}; rename one")


def _others(config: PlatformConfig) -> Iterator[OtherWorkload]:
    """Pods that are not Ray's."""
    parts = cluster_of(config).parts
    if parts.litellm is not None:
        part = parts.litellm
        middle = math.ceil((part.replicas + part.max_replicas) / 2)
        yield OtherWorkload(
            "litellm",
            "cluster.parts.litellm",
            part.cpus,
            int(part.memory_gib * GIB),
            part.replicas,
            middle,
            part.max_replicas,
        )
    if parts.opensearch is not None:
        store = parts.opensearch
        yield OtherWorkload(
            "opensearch",
            "cluster.parts.opensearch",
            store.cpus,
            int(store.memory_gib * GIB),
            store.nodes,
            store.nodes,
            store.nodes,
        )
    if parts.collector is not None:
        collector = parts.collector
        yield OtherWorkload(
            "otel-collector",
            "cluster.parts.collector",
            collector.cpus,
            int(collector.memory_gib * GIB),
            collector.replicas,
            collector.replicas,
            collector.replicas,
        )
    if parts.ingestion is not None:
        ingestion = parts.ingestion
        # Comes when a source is not current, and goes again.
        yield OtherWorkload(
            "ingestion",
            "cluster.parts.ingestion",
            float(ingestion.workers),
            int(ingestion.memory_gib * GIB),
            0,
            0,
            1,
        )


def _pools(
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
    zones = len(cluster.zones)

    def nodes(count: str) -> int:
        return sum(nodes_of(getattr(group, count), group.best.pods_per_node, zones) for group in groups)

    types = dict.fromkeys(fit.instance for group in groups for fit in group.fits)
    return _pool(
        pool,
        role,
        tuple(types),
        max(group.best.instance.num_vcpus for group in groups),
        (
            nodes("min_pods"),
            nodes("expected_pods"),
            nodes("max_pods"),
            sum(peak_nodes_of(group, zones) for group in groups),
        ),
    )


def _system_pool(cluster: ClusterConfig, pool: PoolConfig, others: Sequence[OtherWorkload]) -> NodePool:
    fit = _system_fit(cluster, pool, others)
    sizes = (
        _system_nodes(cluster, pool, fit.instance, [one.min_pods for one in others], others),
        _system_nodes(cluster, pool, fit.instance, [one.expected_pods for one in others], others),
        _system_nodes(cluster, pool, fit.instance, [one.max_pods for one in others], others),
    )
    types = dict.fromkeys([fit.instance, *_roomy(cluster, pool, others)])
    return _pool(pool, "system", tuple(types), fit.instance.num_vcpus, (*sizes, sizes[-1]))


def _pool(
    pool: PoolConfig,
    role: Role,
    types: tuple[Instance, ...],
    node_vcpus: int,
    nodes: tuple[int, int, int, int],
) -> NodePool:
    return NodePool(
        role=role,
        instance_types=types,
        capacity=pool.capacity,
        min_nodes=nodes[0],
        expected_nodes=nodes[1],
        max_nodes=nodes[2],
        peak_nodes=nodes[3],
        # Room for the next size too, where AWS has none of the best to spare.
        max_vcpus=pool.max_nodes
        * max(instance.num_vcpus for instance in types if instance.num_vcpus <= 2 * node_vcpus),
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
    expected = [one.expected_pods for one in others]

    def cost(instance: Instance) -> float:
        usd = prices(cluster, instance)[0]
        nodes = _system_nodes(cluster, pool, instance, expected, others)
        return nodes * (1e6 * instance.num_vcpus if usd is None else usd)

    best = min(roomy, key=cost)
    return Fit(best, 1, *prices(cluster, best))


def _system_nodes(
    cluster: ClusterConfig,
    pool: PoolConfig,
    instance: Instance,
    counts: Sequence[int],
    others: Sequence[OtherWorkload],
) -> int:
    """Nodes that hold so many pods of each: by CPUs and by memory, and one a zone where there are pods for it."""
    free = room(instance, cluster.allowances, pool.root_volume_gib)
    cpus = sum(one.num_cpus * count for one, count in zip(others, counts, strict=True))
    memory = sum(one.memory_bytes * count for one, count in zip(others, counts, strict=True))
    full = max(math.ceil(cpus * 1000 / free.cpu_millis), math.ceil(memory / free.memory_bytes))
    return max(full, min(max(counts), len(cluster.zones)))


def _lines(
    cluster: ClusterConfig,
    groups: Sequence[WorkerGroup],
    pools: Sequence[NodePool],
    others: Sequence[OtherWorkload],
) -> Iterator[CostLine]:
    for group in groups:
        pool = cluster.pool(group.role)
        assert pool is not None  # its group would have been refused
        yield costs.group_cost(group, pool, len(cluster.zones))
    for made in pools:
        if made.role == "system":
            fit = Fit(made.instance_types[0], 1, *prices(cluster, made.instance_types[0]))
            nodes = (made.min_nodes, made.expected_nodes, made.max_nodes)
            name = ", ".join(one.name for one in others)
            yield costs.nodes_cost(f"system ({name})", fit, cluster.pools.system, nodes)


def _forced(config: PlatformConfig, groups: Sequence[WorkerGroup]) -> Iterator[Forced]:
    """Which line of the profile makes what necessary."""
    cluster = cluster_of(config)
    for group in groups:
        for replica in group.replicas:
            yield from _forced_by(replica, group)
    for role in ("ingress", "embedding", "cpu", "gpu", "neuron"):
        pool = cluster.pool(role)
        if pool is not None and "spot" in pool.capacity and any(group.role == role for group in groups):
            yield Forced(
                f"cluster.pools.{role}.capacity",
                "nodes may be taken back at two minutes' notice: pods drain, and their streams continue elsewhere",
            )
    if cluster.entrance.kind == "gateway-api":
        upgrade = cluster.upgrade
        yield Forced(
            "cluster.entrance.kind",
            f"a new version takes over by {upgrade.step_percent} % every {upgrade.interval_s} s, beside the old one",
        )
    else:
        yield Forced(
            "cluster.entrance.kind",
            "a new version of Ray's cluster needs the room of a whole second one while it starts",
        )


def _forced_by(replica: Replica, group: WorkerGroup) -> Iterator[Forced]:
    best = group.best
    if replica.instance_type is not None:
        yield Forced(
            f"{replica.key}.neuron.instance_type", f"{group.name} runs on {replica.instance_type} only"
        )
    devices = replica.num_gpus or replica.num_neuron_cores
    if devices:
        kind = "GPUs" if replica.num_gpus else "NeuronCores"
        yield Forced(
            f"{replica.key}.tensor_parallel_size",
            f"{devices} {kind} a pod of {group.name}: {best.pods_per_node} a {best.instance.name}",
        )
    if replica.device_memory_gib is not None:
        smaller = [
            misfit.instance.name
            for misfit in group.misfits
            if any(text.startswith("device memory") for text in misfit.shortfalls)
        ]
        if smaller:
            yield Forced(
                f"cluster.replicas.{replica.name}.device_memory_gib",
                f"{replica.device_memory_gib:g} GiB on devices: not on {', '.join(smaller)}",
            )
    if group.role != "ingress":
        yield Forced(
            f"{replica.key}.scaling",
            f"{replica.min_replicas} to {replica.max_replicas} pods of {group.name}, {group.peak_pods} while an update "
            f"is under way (max_surge_percent)",
        )
