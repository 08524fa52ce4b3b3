"""How many workers a group may have, from a RayService to the RayCluster that it runs on.

KubeRay (1.7) leaves the size of a worker group to Ray's autoscaler: other `minReplicas` or `maxReplicas` in a
RayService neither make another RayCluster nor reach the one that runs
(https://github.com/ray-project/kuberay/issues/4568). So they are carried there, and they alone: `replicas` is the
autoscaler's own, which asks for the bounds anew in each of its rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kuberay.cluster import Applied, Cluster
from kuberay.objects import RAY, Document, Ref, at
from kuberay.service_status import read_status

BOUNDS = ("minReplicas", "maxReplicas")
TAKEN_UP_S = 30.0  # the operator looks at every change within seconds
LOOK_EVERY_S = 0.5


def carry_bounds(
    cluster: Cluster,
    applied: Applied,
    *,
    manager: str,
    tell: Callable[[str], None],
    timeout_s: float = TAKEN_UP_S,
) -> None:
    """Give the RayCluster of a RayService that was just applied its bounds, and tell each that changed.

    Waits until the operator has seen the RayService, if there is something to change at all: until then it may
    be about to make another RayCluster, and the one that runs keeps its bounds until its end.

    Raises:
        Refused: we may not change RayClusters.
    """
    if applied.ref.kind != "RayService" or applied.before is None:
        return
    until_s = cluster.now_s() + timeout_s
    while True:
        service = cluster.get(applied.ref)
        found = _ray_cluster(cluster, service) if service is not None else None
        changes = list(_changes(service, found)) if service is not None and found is not None else []
        if service is None or found is None or not changes:
            return
        status = read_status(service)
        if status.seen_version >= status.version:
            break
        if cluster.now_s() >= until_s:
            tell(f"{_ref(found)} keeps its groups' bounds: no operator has looked at the RayService yet")
            return
        cluster.sleep(LOOK_EVERY_S)
    cluster.patch(_ref(found), [one for _, operations in changes for one in operations], manager=manager)
    for line, _ in changes:
        tell(f"{_ref(found)}: {line}")


def _ray_cluster(cluster: Cluster, service: Document) -> Document | None:
    """The one that has, or will have, the version that is wanted; None: it is not there yet."""
    for which in ("pendingServiceStatus", "activeServiceStatus"):
        if name := at(service, "status", which, "rayClusterName"):
            return cluster.get(Ref(RAY, "RayCluster", service["metadata"].get("namespace", ""), name))
    return None


def _ref(ray_cluster: Document) -> Ref:
    metadata = ray_cluster["metadata"]
    return Ref(RAY, "RayCluster", metadata.get("namespace", ""), metadata["name"])


def _changes(service: Document, ray_cluster: Document) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """(what changes, operations of RFC 6902) for each group that both have and that differs."""
    wanted = {
        one["groupName"]: one for one in at(service, "spec", "rayClusterConfig", "workerGroupSpecs") or ()
    }
    for position, group in enumerate(at(ray_cluster, "spec", "workerGroupSpecs") or ()):
        name = group["groupName"]
        bounds = _bounds(wanted.get(name, {}))
        if name not in wanted or bounds.items() <= _bounds(group).items():
            continue
        path = f"/spec/workerGroupSpecs/{position}"
        # Whoever changed the list meanwhile makes the patch fail, and no other group is touched.
        operations: list[dict[str, Any]] = [{"op": "test", "path": f"{path}/groupName", "value": name}]
        operations += [
            {"op": "add", "path": f"{path}/{key}", "value": value} for key, value in bounds.items()
        ]
        yield f"group {name} has {_words(bounds)} workers now, not {_words(_bounds(group))}", operations


def _bounds(group: Mapping[str, Any]) -> dict[str, int]:
    return {key: group[key] for key in BOUNDS if group.get(key) is not None}


def _words(bounds: Mapping[str, int]) -> str:
    return " to ".join(str(bounds.get(key, "?")) for key in BOUNDS)
