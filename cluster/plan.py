"""PlatformConfig -> ClusterPlan: everything that follows from a profile, before anything is rendered or bought. Pure.

    replicas   what each deployment's replica takes          (cluster.replicas)
    groups     pods that hold them, and where those fit      (cluster.groups, cluster.fitting)
    others     pods that are not Ray's                       (cluster.others)
    pools      nodes of each role, and their bounds          (cluster.pools)
    money      dollars an hour, and quotas                   (cluster.costs)
    forced     which line of the profile makes what necessary, and what is likely not meant (cluster.warnings)

Reaches nothing: no AWS, no cluster, no file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from cluster import costs
from cluster.forced import forced
from cluster.groups import head_group, peak_nodes_of, prices, worker_groups
from cluster.others import others
from cluster.plan_types import ClusterPlan, CostLine, Fit, NodePool, OtherWorkload, WorkerGroup
from cluster.pools import pools
from cluster.replicas import replicas_of
from cluster.section import cluster_of
from cluster.warnings import warnings
from cluster.waves import waves
from configs.instances import FACTS_SOURCE, Instance
from configs.load import Profile
from configs.prices import AS_OF, SOURCE, SPOT_SOURCE
from configs.schema import ClusterConfig, VllmModel
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
    beside = others(config)
    nodes = tuple(pools(cluster, (head, *groups), beside))
    lines = (costs.control_plane(), *_lines(cluster, (head, *groups), nodes, beside))
    return ClusterPlan(
        profile=profile.path.stem,
        app_name=profile.app_name,
        route_prefix=profile.route_prefix,
        serve_options=dict(profile.serve_options),
        application=dict(profile.application),
        ray_version=RAY_VERSION,
        head=head,
        groups=groups,
        others=beside,
        pools=nodes,
        costs=lines,
        total=costs.total(lines),
        waves=waves(),
        forced=tuple(forced(config, groups)),
        warnings=tuple(warnings(config, groups)),
        quotas=costs.quotas(_bought(cluster, (head, *groups), nodes)),
        price_source=f"{SOURCE} ({AS_OF}); {SPOT_SOURCE}; {FACTS_SOURCE}",
    )


def _bought(
    cluster: ClusterConfig, groups: Sequence[WorkerGroup], nodes: Sequence[NodePool]
) -> Iterator[tuple[Instance, int, bool]]:
    """Nodes at the peak: instance type, how many, whether on spot."""
    for group in groups:
        number = peak_nodes_of(group, len(cluster.zones))
        yield group.best.instance, number, group.capacity[0] == "spot"
    for pool in nodes:
        if pool.role == "system":
            yield pool.instance_types[0], pool.peak_nodes, pool.capacity[0] == "spot"


def _require_names(groups: Sequence[WorkerGroup]) -> None:
    for name, count in Counter(group.name for group in groups).items():
        if count > 1:
            keys = [group.replicas[0].key for group in groups if group.name == name]
            raise ConfigError(f"{' and '.join(keys)} would both be the worker group {name}; rename one")


def _lines(
    cluster: ClusterConfig,
    groups: Sequence[WorkerGroup],
    nodes: Sequence[NodePool],
    beside: Sequence[OtherWorkload],
) -> Iterator[CostLine]:
    for group in groups:
        pool = cluster.pool(group.role)
        assert pool is not None  # its group would have been refused
        yield costs.group_cost(group, pool, len(cluster.zones))
    for made in nodes:
        if made.role == "system":
            fit = Fit(made.instance_types[0], 1, *prices(cluster, made.instance_types[0]))
            counts = (made.min_nodes, made.expected_nodes, made.max_nodes)
            name = ", ".join(one.name for one in beside)
            yield costs.nodes_cost(f"system ({name})", fit, cluster.pools.system, counts)
