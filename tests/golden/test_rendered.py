"""What is committed under kuberay/rendered is what the profiles render to, and what an API server would take."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.render.files import LIST, compare
from cluster.render.tree import render
from configs.load import read_profile

ROOT = Path(__file__).resolve().parents[2]
PROFILES = ("eks-graviton", "eks-gpu", "eks-neuron")
COMMITTED = ROOT / "kuberay" / "rendered"


def rendered(name: str) -> dict[str, str]:
    return render(read_profile(ROOT / "configs" / f"{name}.yaml"))


def objects(files: dict[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every Kubernetes object with its file."""
    for path, text in files.items():
        if path[:2].isdigit() and not path.endswith("kustomization.yaml"):
            for one in yaml.safe_load_all(text):
                yield path, one


def test_every_profile_for_eks_is_committed() -> None:
    assert {path.stem for path in (ROOT / "configs").glob("eks-*.yaml")} == set(PROFILES)
    assert {path.name for path in COMMITTED.iterdir()} == set(PROFILES)


@pytest.mark.parametrize("name", PROFILES)
def test_what_is_committed_is_what_is_rendered(name: str) -> None:
    folder = COMMITTED / name
    assert compare(rendered(name), folder) == [], f"run: manta cluster render configs/{name}.yaml"
    listed = set((folder / LIST).read_text().split())
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert there == listed | {LIST}


@pytest.mark.parametrize("name", PROFILES)
def test_every_object_is_one_that_the_api_server_takes(name: str, faults_of: Any) -> None:
    found = [f"{path}: {fault}" for path, one in objects(rendered(name)) for fault in faults_of(one)]
    assert found == []


def test_a_misspelt_key_would_be_found(faults_of: Any) -> None:
    """The check itself, on objects that are wrong."""
    (service,) = [one for _, one in objects(rendered("eks-gpu")) if one["kind"] == "RayService"]
    service["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]["minReplica"] = 1
    assert any("minReplica" in fault for fault in faults_of(service))
    (pool, *_) = [one for _, one in objects(rendered("eks-gpu")) if one["kind"] == "NodePool"]
    pool["spec"]["template"]["spec"]["requirements"].append({"key": "zone", "operator": "In"})
    assert faults_of(pool)
