"""Service accounts. Which of them has a role at AWS is said in `iam`: EKS Pod Identity puts nothing on the account.

Tokens are mounted only where a pod talks to the Kubernetes API: into the head, whose autoscaler does.
"""

from __future__ import annotations

from cluster.plan_types import ClusterPlan
from cluster.render import names
from cluster.render.objects import Object, metadata
from cluster.section import cluster_of
from configs.schema import PlatformConfig


def accounts(config: PlatformConfig, _plan: ClusterPlan) -> list[Object]:
    """One for each kind of pod, so that each has what it needs and no more."""
    cluster = cluster_of(config)
    spaces, parts = cluster.namespaces, cluster.parts
    made = [
        # KubeRay binds the role that the autoscaler needs to the account that the head's pod names.
        _account(names.HEAD_ACCOUNT, spaces.application, has_token=True),
        _account(names.WORKER_ACCOUNT, spaces.application),
    ]
    if parts.litellm is not None:
        made.append(_account(names.LITELLM_ACCOUNT, spaces.gateway))
    if parts.collector is not None:
        made.append(_account(names.COLLECTOR_ACCOUNT, spaces.observability))
    return made


def _account(name: str, namespace: str, *, has_token: bool = False) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(name, name, namespace),
        "automountServiceAccountToken": has_token,
    }
