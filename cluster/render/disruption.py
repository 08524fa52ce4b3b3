"""What may be taken away, and in which order: priorities, and budgets for whoever drains a node.

Ray's pods belong to a RayCluster, which has no scale subresource: their budgets can only say how many must stay, as a
whole number (https://kubernetes.io/docs/tasks/run-application/configure-pdb/#arbitrary-controllers-and-selectors).
"""

from __future__ import annotations

from cluster.plan_types import ClusterPlan
from cluster.render import names
from cluster.render.objects import Object, metadata
from cluster.section import cluster_of
from configs.schema import PlatformConfig

_PRIORITIES = {
    names.HEAD_PRIORITY: (1_000_000, "Ray's head: without it nothing is scaled or repaired."),
    names.SERVING_PRIORITY: (100_000, "What answers requests."),
}


def priorities(_config: PlatformConfig, _plan: ClusterPlan) -> list[Object]:
    """Above every pod without a class, and below what Kubernetes needs itself."""
    return [
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": metadata(name, "priority"),
            "value": value,
            "globalDefault": False,
            "description": description,
        }
        for name, (value, description) in _PRIORITIES.items()
    ]


def budgets(config: PlatformConfig, plan: ClusterPlan) -> list[Object]:
    """One for the head, and one for each of Ray's groups that never goes to nothing; Deployments bring their own."""
    namespace = cluster_of(config).namespaces.application
    # Of one pod that one stays: whoever drains its node asks a person first, or waits for the node's grace period.
    staying = {group.name: max(1, group.min_pods - 1) for group in plan.groups if group.min_pods}
    return [_budget(group, namespace, number) for group, number in ({plan.head.name: 1} | staying).items()]


def _budget(group: str, namespace: str, num_staying: int) -> Object:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(f"ray-{group}", "disruption", namespace),
        "spec": {
            "minAvailable": num_staying,
            "selector": {"matchLabels": {names.GROUP_LABEL: group}},
            # A pod that is not ready serves nobody: it must not hold a drain up.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
