"""The end of a RayService: it, its RayClusters and their pods, in an order that lets each clean up after itself.

A RayCluster with fault tolerance keeps a finalizer until a job of the operator's has emptied its Redis, so
nothing that these need may go before they have. Parts whose owner is gone are deleted here by name: where a
garbage collector runs it was about to, and some clusters have none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from kuberay.cluster import Cluster
from kuberay.evidence import CLUSTER_LABEL, KIND_LABEL, SERVICE_LABEL
from kuberay.objects import RAY, Document, Ref, at, condition, is_true, ref_of

LOOK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Left:
    """What is still there, and what holds it."""

    ref: Ref
    held_by: tuple[str, ...] = ()  # finalizers
    says: str = ""  # of a namespace, what its controller still waits for

    def __str__(self) -> str:
        held = f", held by {', '.join(self.held_by)}" if self.held_by else ""
        return f"{self.ref}{held}" + (f": {self.says}" if self.says else "")


# https://github.com/kubernetes/kubernetes, pkg/controller/namespace/deletion/status_condition_utils.go
_WAITS = (
    "NamespaceDeletionDiscoveryFailure",
    "NamespaceDeletionGroupVersionParsingFailure",
    "NamespaceDeletionContentFailure",
    "NamespaceContentRemaining",
    "NamespaceFinalizersRemaining",
)


def left_of(document: Document) -> Left:
    """What is said of an object whose end is waited for."""
    held = tuple(at(document, "metadata", "finalizers") or ())
    if document["kind"] != "Namespace":
        return Left(ref_of(document), held)
    said = [one for kind in _WAITS if is_true(one := condition(document, kind)) and one is not None]
    return Left(ref_of(document), held, " ".join(str(one.get("message") or "") for one in said))


def delete_service(
    cluster: Cluster, ref: Ref, *, timeout_s: float, tell: Callable[[str], None]
) -> list[Left]:
    """Delete a RayService and wait for all that is its own; what is left when the time is over."""
    ref = replace(ref, namespace=ref.namespace or "default")  # none would mean all when its parts are listed
    until_s = cluster.now_s() + timeout_s
    ray_clusters = {one["metadata"]["name"] for one in _ray_clusters(cluster, ref)}
    cluster.delete(ref)
    told: set[Left] = set()
    while True:
        found = list(_own(cluster, ref, ray_clusters))
        left = [left_of(one) for one in found]
        for one in left:
            if one not in told:
                told.add(one)
                tell(f"{one} is still there")
        if not left or cluster.now_s() >= until_s:
            return left
        _collect(cluster, found)
        cluster.sleep(LOOK_EVERY_S)


def _own(cluster: Cluster, ref: Ref, ray_clusters: set[str]) -> Iterable[Document]:
    """What is there of it; `ray_clusters` are the names seen so far, and grows."""
    service = cluster.get(ref)
    if service is not None:
        yield service
    for one in _ray_clusters(cluster, ref):
        ray_clusters.add(one["metadata"]["name"])
        yield one
    if ray_clusters:
        chosen = f"{CLUSTER_LABEL} in ({','.join(sorted(ray_clusters))})"
        yield from cluster.find("v1", "Pod", namespace=ref.namespace, labels=chosen)


def _ray_clusters(cluster: Cluster, ref: Ref) -> list[Document]:
    chosen = f"{SERVICE_LABEL}={ref.name},{KIND_LABEL}=RayService"
    return cluster.find(RAY, "RayCluster", namespace=ref.namespace, labels=chosen)


def _collect(cluster: Cluster, found: list[Document]) -> None:
    """Delete what has lost its owner, RayClusters before their pods."""
    kinds = {one["kind"] for one in found}
    kind = next((one for one in ("RayService", "RayCluster", "Pod") if one in kinds), "")
    for one in found:
        if kind != "RayService" and one["kind"] == kind and not at(one, "metadata", "deletionTimestamp"):
            cluster.delete(ref_of(one), uid=one["metadata"]["uid"])
