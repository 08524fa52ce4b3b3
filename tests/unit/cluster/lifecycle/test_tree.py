from pathlib import Path

import pytest
import yaml

from cluster.lifecycle.target import namespaces_of, read_target
from cluster.lifecycle.tree import read_tree
from configs.load import ProfileError


def write(folder: Path, name: str, *documents: object) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump_all(documents))
    return path


def thing(kind: str, name: str, namespace: str = "manta", api_version: str = "v1") -> dict[str, object]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": namespace}}


def test_waves_in_the_order_of_the_kustomization(tmp_path: Path) -> None:
    write(tmp_path, "kustomization.yaml", {"resources": ["second", "first"]})
    write(tmp_path, "first/kustomization.yaml", {"resources": ["a.yaml"]})
    write(tmp_path, "first/a.yaml", thing("RayService", "manta", api_version="ray.io/v1"))
    write(tmp_path, "second/kustomization.yaml", {"resources": ["b.yaml", "c.yaml"]})
    write(tmp_path, "second/b.yaml", thing("ConfigMap", "x"), thing("Namespace", "n"))
    write(tmp_path, "second/c.yaml", thing("Service", "y"), thing("ServiceAccount", "z"))
    write(tmp_path, "second/not-listed.yaml", {"chart": "values"})
    tree = read_tree(tmp_path)
    assert [wave.name for wave in tree.waves] == ["second", "first"]
    assert [one["kind"] for one in tree.waves[0].objects] == [
        "Namespace",
        "ServiceAccount",
        "ConfigMap",
        "Service",
    ]
    assert (tree.namespace, tree.name) == ("manta", "manta")
    assert [str(ref) for ref in tree.services] == ["RayService manta/manta"]
    assert tree.namespaces == ("n", "manta")


def test_a_part_shares_the_history_of_the_whole(tmp_path: Path) -> None:
    write(tmp_path, "kustomization.yaml", {"resources": ["05-application", "06-entrance"]})
    write(tmp_path, "05-application/kustomization.yaml", {"resources": ["a.yaml"]})
    write(tmp_path, "05-application/a.yaml", thing("RayService", "manta", api_version="ray.io/v1"))
    write(tmp_path, "06-entrance/kustomization.yaml", {"resources": ["b.yaml"]})
    write(tmp_path, "06-entrance/b.yaml", thing("Service", "door", namespace="manta-gateway"))
    write(tmp_path, "06-entrance/other.yaml", thing("Service", "other", namespace="manta-gateway"))
    for part in ("05-application", "06-entrance", "06-entrance/b.yaml"):
        tree = read_tree(tmp_path / part)
        assert (tree.namespace, tree.name, tree.is_part) == ("manta", "manta", True)
    assert not read_tree(tmp_path).is_part
    assert read_tree(tmp_path / "06-entrance/other.yaml").name == "other"


def test_a_folder_without_kustomization_and_a_file_alone(tmp_path: Path) -> None:
    write(tmp_path, "b.yaml", {"kind": "List", "apiVersion": "v1", "items": [thing("ConfigMap", "x")]}, None)
    path = write(tmp_path, "a.yaml", thing("ConfigMap", "y", namespace="elsewhere"))
    assert [one["metadata"]["name"] for one in read_tree(tmp_path).objects] == ["y", "x"]
    alone = read_tree(path)
    assert (alone.namespace, alone.name, [wave.name for wave in alone.waves]) == ("elsewhere", "a", ["a"])


def test_what_looks_like_a_date_stays_a_text(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {since: 2026-01-01}\n")
    assert read_tree(path).objects[0]["data"] == {"since": "2026-01-01"}


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"a.yaml": "a: ["}, "not YAML"),
        ({"a.yaml": "- 1\n"}, "holds a list"),
        ({"a.yaml": "kind: ConfigMap\n"}, "document 1 is no Kubernetes object"),
        ({"a.yaml": "applications: []\n"}, "is a profile; render it"),
        ({"a.yaml": ""}, "holds no objects"),
        ({"kustomization.yaml": "resources: [gone.yaml]"}, "lists gone.yaml, which is not there"),
        (
            {"kustomization.yaml": "patches: []\nresources: []"},
            "uses patches; build it first: kubectl kustomize",
        ),
    ],
)
def test_faults_name_the_file(tmp_path: Path, files: dict[str, str], said: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(ProfileError, match=said) as caught:
        read_tree(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_the_same_object_twice_is_a_fault(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", thing("ConfigMap", "x"), thing("ConfigMap", "x"))
    with pytest.raises(ProfileError, match="ConfigMap manta/x is there twice"):
        read_tree(tmp_path)


def test_targets(tmp_path: Path) -> None:
    target = read_target("here/manta")
    assert (target.namespace, target.name, target.waves) == ("here", "manta", None)
    assert target.objects([])[0][0]["kind"] == "RayService"
    write(tmp_path, "a.yaml", thing("ConfigMap", "x"))
    assert read_target(str(tmp_path)).waves is not None
    for wrong in ("nowhere", "a/b/c", "Upper/case", str(tmp_path / "none")):
        with pytest.raises(ProfileError, match="neither a folder"):
            read_target(wrong)


def test_namespaces_that_are_made_or_used() -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}}
    assert namespaces_of([[namespace, thing("ConfigMap", "x", "b")]], "own") == {"a", "b", "own"}


def test_a_history_has_a_name_that_kubernetes_takes(tmp_path: Path) -> None:
    for file, name in (("My Tree_1.yaml", "my-tree-1"), ("__.yaml", "tree"), (f"{'x' * 60}.yaml", "x" * 50)):
        assert read_tree(write(tmp_path, file, thing("Service", "y"))).name == name


def test_a_service_without_a_namespace_is_in_default(tmp_path: Path) -> None:
    service = {"apiVersion": "ray.io/v1", "kind": "RayService", "metadata": {"name": "manta"}}
    tree = read_tree(write(tmp_path, "a.yaml", service))
    assert (tree.namespace, tree.services[0].namespace) == ("default", "default")
