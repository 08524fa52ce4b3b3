"""The end of a tree: the last wave first, each gone before the next, and data only on request.

RayServices end with their RayClusters and pods (`kuberay.deletion`), load balancers by their finalizers, users of
OpenSearch in its cluster, and nodes with their NodePools: none of these may lose what they need for it, so nothing goes
on while they are there, neither to the wave before nor, within a wave, to the kind before.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from kuberay.cluster import Cluster
from kuberay.deletion import Left, delete_service, left_of
from kuberay.errors import ClusterError, KindMissing
from kuberay.objects import Document, Ref, ref_of

Tell = Callable[[str], None]
LOOK_EVERY_S = 1.0
DATA = ("PersistentVolumeClaim", "Namespace")
SHARED = ("CustomResourceDefinition",)  # every object of the kind would go, whosever it is
POOL_LABEL = "karpenter.sh/nodepool"
KARPENTER = "karpenter.sh/v1"


@dataclass(frozen=True, slots=True)
class Deleted:
    """What became of it."""

    num_deleted: int
    kept: tuple[Ref, ...]  # data and what is shared
    left: tuple[Left, ...]  # still there although its deletion was asked for; nothing before it was touched


def delete_waves(
    cluster: Cluster, waves: Iterable[Iterable[Document]], *, with_data: bool, timeout_s: float, tell: Tell
) -> Deleted:
    """Delete the objects of waves, given in the order in which they were applied; `timeout_s` for each wave.

    Raises:
        ClusterError: the server refused, or was lost; says what was deleted by then.
    """
    keep = SHARED if with_data else (*SHARED, *DATA)
    num_deleted, kept = 0, []
    for wave in reversed([list(wave) for wave in waves]):
        refs = [ref_of(one) for one in reversed(wave)]
        kept += [ref for ref in refs if ref.kind in keep]
        going = [ref for ref in refs if ref.kind not in keep and _is_there(cluster, ref)]
        until_s = cluster.now_s() + timeout_s
        for _, same in itertools.groupby(going, key=lambda ref: (ref.api_version, ref.kind)):
            refs = list(same)
            try:
                left = _delete(cluster, refs, until_s, tell)
            except ClusterError as exc:
                raise ClusterError(f"{exc}; {num_deleted} objects or more were deleted by then") from exc
            num_deleted += len(refs) - len({one.ref for one in left} & set(refs))
            if left:
                return Deleted(num_deleted, tuple(kept), tuple(left))
    return Deleted(num_deleted, tuple(ref for ref in kept if _is_there(cluster, ref)), ())


def _is_there(cluster: Cluster, ref: Ref) -> bool:
    try:
        return cluster.get(ref) is not None
    except KindMissing:
        return False


def _delete(cluster: Cluster, refs: list[Ref], until_s: float, tell: Tell) -> list[Left]:
    for ref in refs:
        if ref.kind == "RayService":
            tell(f"{ref}: deleting it, its RayClusters and their pods")
            left_s = max(1.0, until_s - cluster.now_s())
            if left := delete_service(cluster, ref, timeout_s=left_s, tell=tell):
                return left
        else:
            cluster.delete(ref)
    return _wait_until_gone(cluster, refs, until_s, tell)


def _wait_until_gone(cluster: Cluster, refs: list[Ref], until_s: float, tell: Tell) -> list[Left]:
    told: set[Left] = set()
    gone: set[Ref] = set()
    while True:
        left: list[Left] = []
        for ref in refs:
            if ref in gone:
                continue
            document = cluster.get(ref)
            if document is not None:
                left.append(replace(left_of(document), ref=ref))
                continue
            gone.add(ref)
            tell(f"{ref} deleted")
        left += _nodes_of(cluster, [ref.name for ref in refs if ref.kind == "NodePool"])
        if not left or cluster.now_s() >= until_s:
            return left
        for one in left:
            if one not in told:
                told.add(one)
                tell(f"{one} is still there")
        cluster.sleep(LOOK_EVERY_S)


def _nodes_of(cluster: Cluster, pools: list[str]) -> list[Left]:
    """Nodes that Karpenter still has to drain and give back: what costs most."""
    if not pools or not cluster.knows(KARPENTER, "NodeClaim"):
        return []
    found = cluster.find(KARPENTER, "NodeClaim", labels=f"{POOL_LABEL} in ({','.join(pools)})")
    return [left_of(one) for one in found]
