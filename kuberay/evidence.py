"""Everything in a cluster that bears on why a RayService does not serve, read in a few requests.

Reads and judges nothing: `kuberay.diagnosis` does. What we may not read is noted and left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kuberay.cluster import Cluster
from kuberay.errors import KindMissing, Refused
from kuberay.objects import RAY, Document, Ref, at
from kuberay.service_status import clusters_in_force

KARPENTER = "karpenter.sh/v1"
SERVICE_LABEL = "ray.io/originated-from-cr-name"  # on what the operator makes for a RayService
KIND_LABEL = "ray.io/originated-from-crd"
CLUSTER_LABEL = "ray.io/cluster"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found. Events are warnings, the newest first."""

    service: Document | None
    ray_clusters: tuple[Document, ...] = ()
    pods: tuple[Document, ...] = ()
    events: tuple[Document, ...] = ()
    node_claims: tuple[Document, ...] = ()
    node_pools: tuple[Document, ...] = ()
    not_read: tuple[str, ...] = ()


def gather(cluster: Cluster, ref: Ref, service: Document | None) -> Evidence:
    """The evidence about one RayService, whose document the caller has: of the RayClusters that it has not given up.

    Raises:
        Unreachable: the API server does not answer.
    """
    reader = Reader(cluster)
    chosen = f"{SERVICE_LABEL}={ref.name},{KIND_LABEL}=RayService"
    ray_clusters = reader.find(RAY, "RayCluster", ref.namespace, chosen)
    if service is not None and (in_force := clusters_in_force(service)):
        ray_clusters = [one for one in ray_clusters if one["metadata"]["name"] in in_force]
    pods: list[Document] = []
    if ray_clusters:
        names = ",".join(one["metadata"]["name"] for one in ray_clusters)
        pods = reader.find("v1", "Pod", ref.namespace, f"{CLUSTER_LABEL} in ({names})")
    claims = reader.find(KARPENTER, "NodeClaim") if any(_is_waiting(pod) for pod in pods) else []
    pools = reader.find(KARPENTER, "NodePool") if claims or any(_is_waiting(pod) for pod in pods) else []
    events = reader.warnings(ref.namespace)
    if claims or pools:
        events += reader.warnings("default")  # where events of what has no namespace are kept
    return Evidence(
        service, tuple(ray_clusters), tuple(pods), tuple(sorted(events, key=happened_at, reverse=True)),
        tuple(claims), tuple(pools), tuple(reader.not_read),
    )  # fmt: skip


def happened_at(event: Mapping[str, object]) -> str:
    """When an event was last seen, RFC 3339; which field has it depends on who wrote it."""
    found = at(event, "series", "lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime")
    return str(found or at(event, "metadata", "creationTimestamp") or "")


def _is_waiting(pod: Document) -> bool:
    return at(pod, "status", "phase") == "Pending" and not at(pod, "spec", "nodeName")


class Reader:
    """Lists, and keeps what it was not allowed to list. Kinds that the cluster does not have are no fault here."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.not_read: list[str] = []

    def find(
        self, api_version: str, kind: str, namespace: str = "", labels: str = "", fields: str = ""
    ) -> list[Document]:
        try:
            return self._cluster.find(api_version, kind, namespace=namespace, labels=labels, fields=fields)
        except KindMissing:
            return []
        except Refused as exc:
            self.not_read.append(str(exc))
            return []

    def warnings(self, namespace: str) -> list[Document]:
        return self.find("v1", "Event", namespace, fields="type=Warning")
