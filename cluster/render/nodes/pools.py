"""What Karpenter may buy, for whom, and what it may take away. A pool for each processor and way to pay of a role.

Weights make the order: the first way to pay in `capacity`, and within it the processor of the first family, Graviton
where that is one. A pool that cannot deliver (no spot left) makes way for the next by itself.
"""

from __future__ import annotations

from itertools import product
from typing import Any

from cluster.plan_types import ClusterPlan, NodePool
from cluster.render import names
from cluster.render.nodes.classes import reference
from cluster.render.objects import Object, metadata
from cluster.section import cluster_of
from configs.instances import Architecture
from configs.schema import ClusterConfig, PlatformConfig, PoolConfig
from configs.schema.cluster.section import Capacity

_FIRST_WEIGHT = 100  # Karpenter's most
_WEIGHT_STEP = 10
# Auto Mode replaces every node after 21 days: https://docs.aws.amazon.com/eks/latest/userguide/automode.html
_AUTO_MODE_MOST_H = 21 * 24
# What then still holds a node by a budget or `do-not-disrupt` is ended. Auto Mode's own; for drained streams plenty.
_GRACE = "24h"


def node_pools(config: PlatformConfig, plan: ClusterPlan) -> list[Object]:
    """The NodePools, in the order of roles, and within a role by weight."""
    cluster = cluster_of(config)
    made = []
    for pool in plan.pools:
        configured = cluster.pool(pool.role)
        if configured is None:
            raise ValueError(f"the plan has nodes of the role {pool.role}, and the profile has none")
        ways = product(pool.capacity, pool.architectures)
        for index, (capacity, architecture) in enumerate(ways):
            weight = max(1, _FIRST_WEIGHT - index * _WEIGHT_STEP)
            made.append(_node_pool(cluster, configured, pool, capacity, architecture, weight))
    return made


def _node_pool(
    cluster: ClusterConfig,
    configured: PoolConfig,
    pool: NodePool,
    capacity: Capacity,
    architecture: Architecture,
    weight: int,
) -> Object:
    name = f"manta-{pool.role}-{architecture}-{capacity}"
    return {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodePool",
        "metadata": metadata(name, "nodes"),
        "spec": {
            "weight": weight,
            "limits": _limits(configured, pool),
            "disruption": _disruption(pool.role),
            "template": {
                "metadata": {"labels": {names.ROLE_LABEL: pool.role}},
                "spec": {
                    "nodeClassRef": reference(cluster, pool.role),
                    "requirements": _requirements(cluster, pool, capacity, architecture),
                    "taints": [names.role_taint(pool.role)],
                    **_lifetime(cluster, configured, pool.role),
                },
            },
        },
    }


def _requirements(
    cluster: ClusterConfig, pool: NodePool, capacity: Capacity, architecture: Architecture
) -> list[dict[str, Any]]:
    """Instance types by name: those that the plan has found to fit, so that no node is bought that holds no pod."""
    types = [instance.name for instance in pool.instance_types if instance.architecture == architecture]
    wanted = {
        "karpenter.sh/capacity-type": [capacity],
        "kubernetes.io/arch": [architecture],
        "node.kubernetes.io/instance-type": types,
        "topology.kubernetes.io/zone": list(cluster.zone_names()),
    }
    return [{"key": key, "operator": "In", "values": values} for key, values in wanted.items()]


def _limits(configured: PoolConfig, pool: NodePool) -> dict[str, str]:
    """A bound for accidents; what the pods together may take is the namespaces' quota."""
    memory_mib = max(instance.memory_mib for instance in pool.instance_types) * configured.max_nodes
    return {"cpu": str(pool.max_vcpus), "memory": f"{memory_mib}Mi"}


def _disruption(role: str) -> dict[str, Any]:
    """Empty nodes go. Ray's are never cleared to save money: its own autoscaler empties them, and knows when.

    A new image or class (drift) reaches one node at a time; the head's never, until a person deletes it.
    """
    moved = "0" if role == "head" else "1"
    return {
        "consolidationPolicy": "WhenEmptyOrUnderutilized" if role == "system" else "WhenEmpty",
        "consolidateAfter": "10m" if role == "system" else "5m",
        "budgets": [
            {"nodes": "100%", "reasons": ["Empty"]},
            {"nodes": moved, "reasons": ["Drifted", "Underutilized"]},
        ],
    }


def _lifetime(cluster: ClusterConfig, configured: PoolConfig, role: str) -> dict[str, str]:
    """Expiry asks no budget and starts no replacement first, so the head's node has none where that can be chosen.

    Nor has it an end to the drain: a budget or `do-not-disrupt` would then hold for so long only.
    https://karpenter.sh/docs/concepts/disruption/#expiration
    """
    is_auto = cluster.compute == "auto-mode"
    if role == "head":
        return {"expireAfter": f"{_AUTO_MODE_MOST_H}h" if is_auto else "Never"}
    hours = min(configured.expire_after_h, _AUTO_MODE_MOST_H) if is_auto else configured.expire_after_h
    return {"expireAfter": f"{hours}h", "terminationGracePeriod": _GRACE}
