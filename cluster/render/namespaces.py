"""Namespaces, each with the Pod Security Standard that its pods must meet.

`restricted` wherever the pods are ours to write. What cannot live with that (device plugins, agents of nodes) belongs
into namespaces of its own, which are not rendered here.
"""

from __future__ import annotations

from typing import Literal

from cluster.plan_types import ClusterPlan
from cluster.render.objects import Object, metadata
from cluster.section import cluster_of
from configs.schema import PlatformConfig

Standard = Literal[
    "restricted", "baseline"
]  # https://kubernetes.io/docs/concepts/security/pod-security-standards/


def namespaces(config: PlatformConfig, _plan: ClusterPlan) -> list[Object]:
    """The namespaces that the profile's parts live in."""
    spaces = cluster_of(config).namespaces
    others_pods = (spaces.observability, spaces.knowledge)
    return [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": metadata(
                name, "namespace", labels=_pod_security("baseline" if name in others_pods else "restricted")
            ),
        }
        for name in used(config)
    ]


def used(config: PlatformConfig) -> tuple[str, ...]:
    """The namespaces' names, the application's first; those of parts that are left out are not among them."""
    cluster = cluster_of(config)
    spaces, parts = cluster.namespaces, cluster.parts
    names = [spaces.application, spaces.gateway]
    if parts.collector is not None or parts.langfuse is not None or parts.monitoring is not None:
        names.append(spaces.observability)
    if parts.opensearch is not None:
        names.append(spaces.knowledge)
    return tuple(names)


def _pod_security(enforced: Standard) -> dict[str, str]:
    """What is refused, and what is only told.

    OpenSearch's operator gives its pods an init container that is root, and Langfuse's chart makes what it makes.
    """
    prefix = "pod-security.kubernetes.io"
    return {f"{prefix}/enforce": enforced, f"{prefix}/audit": "restricted", f"{prefix}/warn": "restricted"}
