"""The committed trees, applied to the stand-in: every kind of object, with KubeRay's own schema where it is at hand."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from apiserver.kinds import Kind
from apiserver.operator import World, operating
from apiserver.server import ApiServer

from cluster.lifecycle import waves
from cluster.lifecycle.applying import Options, apply_tree
from cluster.lifecycle.deleting import delete_waves
from cluster.lifecycle.tree import Tree, read_tree
from kuberay.cluster import Cluster
from kuberay.objects import at
from kuberay.patience import Patience

ROOT = Path(__file__).resolve().parents[3]
CRD = ROOT.parent / "shared" / "crds" / "ray.io" / "ray.io_rayservices.yaml"
TREES = sorted(path for path in (ROOT / "kuberay" / "rendered").iterdir() if path.is_dir())
OF_THE_CLUSTER = re.compile(
    r"^(Namespace|Cluster.*|PriorityClass|StorageClass|NodePool|EC2NodeClass|NodeClass|NodeClaim)$"
)


def kinds_of(tree: Tree) -> list[Kind]:
    found = {(one["apiVersion"], one["kind"]): None for one in tree.objects}
    made = []
    for api_version, name in found:
        group, _, version = api_version.rpartition("/")
        made.append(
            Kind(
                group,
                version,
                name,
                f"{name.lower()}s",
                is_namespaced=not OF_THE_CLUSTER.match(name),
                has_status=True,
            )
        )
    return made


def all_is_well(document: dict[str, Any]) -> dict[str, Any]:
    replicas = at(document, "spec", "replicas")
    replicas = 1 if replicas is None else replicas
    conditions = [
        {"type": kind, "status": "True"} for kind in ("Ready", "Accepted", "Programmed", "ResolvedRefs")
    ]
    return {
        "observedGeneration": document["metadata"]["generation"], "updatedReplicas": replicas,
        "availableReplicas": replicas, "conditions": conditions, "parents": [{"conditions": conditions}],
        "phase": "Active" if document["kind"] == "Namespace" else "RUNNING",
        "loadBalancer": {"ingress": [{"hostname": "x"}]},
    }  # fmt: skip


@pytest.mark.parametrize("folder", TREES, ids=lambda path: path.name)
def test_a_rendered_tree_goes_up_and_down_again(
    folder: Path, api: ApiServer, cluster: Cluster, soon: Patience, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waves, "LOOK_EVERY_S", 0.05)
    tree = read_tree(folder)
    rest = [one for one in api.kinds if one.kind != "RayService"]
    known = {(one.api_version, one.kind) for one in rest} | {("ray.io/v1", "RayService")}
    rest += [one for one in kinds_of(tree) if (one.api_version, one.kind) not in known]
    api.kinds = [*rest, Kind("ray.io", "v1", "RayService", "rayservices", has_status=True, schema=schema())]
    for namespace in tree.namespaces:  # kagent's is made by its chart
        if not any(
            one["kind"] == "Namespace" and one["metadata"]["name"] == namespace for one in tree.objects
        ):
            api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    quiet = ("RayService", "RayCluster", "Pod", "Event", "ConfigMap", "ControllerRevision")
    world = World(others=all_is_well, judged=tuple(one.kind for one in rest if one.kind not in quiet))
    told: list[str] = []
    options = Options(patience=soon, timeout_s=60.0)
    with operating(api, world):
        outcome = apply_tree(cluster, tree, options, told.append)
        assert len(outcome.applied) == len(tree.objects)
        assert sum(" is ready after " in line for line in told) == len(tree.waves)
        again = apply_tree(cluster, tree, options, told.append)
        assert {one.outcome for one in again.applied} == {"unchanged"}
        layers = [wave.objects for wave in tree.waves]
        done = delete_waves(cluster, layers, with_data=True, timeout_s=60.0, tell=told.append)
    assert done.left == done.kept == ()
    assert done.num_deleted == len(tree.objects)


def schema() -> dict[str, Any] | None:
    """KubeRay's own for RayServices; None where it is not at hand."""
    if not CRD.exists():
        return None
    document = yaml.load(CRD.read_text(), Loader=yaml.CSafeLoader)
    (version,) = [one for one in document["spec"]["versions"] if one["name"] == "v1"]
    return version["schema"]["openAPIV3Schema"]
