"""What people may do, by role: a viewer looks, an operator runs. Groups come from EKS access entries.

Nobody reads Secrets, and nobody here grants roles: both stay with who administers the cluster.
"""

from __future__ import annotations

from cluster.plan_types import ClusterPlan
from cluster.render.namespaces import used
from cluster.render.objects import Object, metadata
from configs.schema import PlatformConfig

VIEWERS = "manta:viewers"
OPERATORS = "manta:operators"

Rule = dict[str, list[str]]

_OPENSEARCH = ["opensearchclusters", "opensearchroles", "opensearchuserrolebindings", "opensearchusers"]
_LOOK = ["get", "list", "watch"]
_CHANGE = ["create", "update", "patch", "delete"]
# API group -> what of it lives in a namespace and is shown.
_SHOWN = {
    "": [
        "configmaps",
        "endpoints",
        "events",
        "limitranges",
        "persistentvolumeclaims",
        "pods",
        "pods/log",
        "podtemplates",
        "resourcequotas",
        "serviceaccounts",
        "services",
    ],
    "apps": ["controllerrevisions", "deployments", "replicasets", "statefulsets"],
    "autoscaling": ["horizontalpodautoscalers"],
    "autoscaling.x-k8s.io": ["capacitybuffers"],
    "batch": ["cronjobs", "jobs"],
    "events.k8s.io": ["events"],
    "external-secrets.io": ["externalsecrets", "secretstores"],
    "gateway.networking.k8s.io": ["gateways", "httproutes"],
    "kagent.dev": ["agents", "modelconfigs", "remotemcpservers"],
    "keda.sh": ["scaledjobs", "scaledobjects", "triggerauthentications"],
    "monitoring.coreos.com": ["podmonitors", "prometheusrules", "servicemonitors"],
    "networking.k8s.io": ["ingresses", "networkpolicies"],
    "opensearch.org": _OPENSEARCH,
    "policy": ["poddisruptionbudgets"],
    "ray.io": ["rayclusters", "rayjobs", "rayservices"],
}
# Of those, what an operator changes: what is applied after the foundation and the nodes, and is in a namespace.
_CHANGED = {
    "": ["configmaps", "pods", "podtemplates", "services"],
    "apps": ["controllerrevisions", "deployments", "deployments/scale"],
    "autoscaling": ["horizontalpodautoscalers"],
    "autoscaling.x-k8s.io": ["capacitybuffers"],
    "batch": ["cronjobs", "jobs"],
    "external-secrets.io": ["externalsecrets", "secretstores"],
    "gateway.networking.k8s.io": ["gateways", "httproutes"],
    "kagent.dev": ["agents", "modelconfigs", "remotemcpservers"],
    "keda.sh": ["scaledjobs", "scaledobjects", "triggerauthentications"],
    "monitoring.coreos.com": ["podmonitors", "prometheusrules", "servicemonitors"],
    "networking.k8s.io": ["ingresses"],
    "opensearch.org": _OPENSEARCH,
    "policy": ["poddisruptionbudgets"],
    "ray.io": ["rayclusters", "rayjobs", "rayservices"],
}
_OF_THE_CLUSTER = {
    "": ["namespaces", "nodes"],
    "apiextensions.k8s.io": ["customresourcedefinitions"],
    "eks.amazonaws.com": ["nodeclasses"],
    "karpenter.k8s.aws": ["ec2nodeclasses"],
    "karpenter.sh": ["nodeclaims", "nodepools"],
    "scheduling.k8s.io": ["priorityclasses"],
}


def access(config: PlatformConfig, _plan: ClusterPlan) -> list[Object]:
    """A role of each kind in each namespace, one for what has no namespace, and who holds them."""
    looks = _rules(_SHOWN, _LOOK)
    runs = [
        *looks,
        *_rules(_CHANGED, _CHANGE),
        {"apiGroups": [""], "resources": ["pods/eviction", "pods/portforward"], "verbs": ["create"]},
    ]
    made = []
    for namespace in used(config):
        made += [
            _role("manta-viewer", looks, namespace),
            _role("manta-operator", runs, namespace),
            _binding("manta-viewer", VIEWERS, namespace),
            _binding("manta-operator", OPERATORS, namespace),
        ]
    return [
        *made,
        _role("manta-nodes-viewer", _rules(_OF_THE_CLUSTER, _LOOK)),
        _binding("manta-nodes-viewer", VIEWERS, None, OPERATORS),
    ]


def _rules(resources: dict[str, list[str]], verbs: list[str]) -> list[Rule]:
    return [
        {"apiGroups": [group], "resources": list(kinds), "verbs": list(verbs)}
        for group, kinds in resources.items()
    ]


def _role(name: str, rules: list[Rule], namespace: str | None = None) -> Object:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole" if namespace is None else "Role",
        "metadata": metadata(name, "access", namespace),
        "rules": rules,
    }


def _binding(role: str, group: str, namespace: str | None, *more: str) -> Object:
    kind = "ClusterRole" if namespace is None else "Role"
    api = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{api}/v1",
        "kind": f"{kind}Binding",
        "metadata": metadata(role, "access", namespace),
        "roleRef": {"apiGroup": api, "kind": kind, "name": role},
        "subjects": [{"apiGroup": api, "kind": "Group", "name": name} for name in (group, *more)],
    }
