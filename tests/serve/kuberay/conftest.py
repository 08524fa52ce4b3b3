"""An API server and a KubeRay operator on loopback, and our client of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from apiserver.operator import Operator, World, operating
from apiserver.server import ApiServer, serving
from applied import NAMESPACE, Make, Run, deployment, named
from click.testing import CliRunner, Result

from cluster.lifecycle import waves
from kuberay.cluster import Cluster
from kuberay.patience import Patience
from manta.commands.cluster import apply as apply_command
from manta.commands.cluster import command, rollback, wait

SOON = Patience(settle_s=0.6, fail_s=0.6, stuck_s=1.0)  # twelve of the operator's rounds


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with serving(ApiServer()) as server:
        yield server


@pytest.fixture
def operator(api: ApiServer) -> Iterator[Operator]:
    with operating(api, World()) as running:
        yield running


@pytest.fixture
def kubeconfig(api: ApiServer, tmp_path: Path) -> Path:
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(api.kubeconfig()))
    return path


@pytest.fixture
def cluster(kubeconfig: Path) -> Iterator[Cluster]:
    with Cluster.open(kubeconfig, patience_s=30.0) as opened:
        yield opened


@pytest.fixture
def soon() -> Patience:
    return SOON


@pytest.fixture
def document() -> Callable[..., dict[str, Any]]:
    """Makes a RayService's document."""

    def make(config: str = "applications: [one]", image: str = "one", **spec: Any) -> dict[str, Any]:
        template = {"spec": {"containers": [{"name": "ray", "image": image}]}}
        return {
            "apiVersion": "ray.io/v1",
            "kind": "RayService",
            "metadata": {"name": "manta", "namespace": "default", "labels": {"app": "manta"}},
            "spec": {
                "serveConfigV2": config,
                "rayClusterConfig": {
                    "rayVersion": "2.60.0",
                    "headGroupSpec": {"rayStartParams": {}, "template": template},
                    "workerGroupSpecs": [{"groupName": "workers", "replicas": 1, "template": template}],
                },
            }
            | spec,
        }

    return make


@pytest.fixture
def tree(tmp_path: Path, document: Make) -> Callable[..., Path]:
    """Writes a tree of three waves; returns its folder."""

    def write(config: str = "applications: [one]", more: tuple[dict[str, Any], ...] = ()) -> Path:
        service = document(config=config)
        service["metadata"]["namespace"] = NAMESPACE
        layers = {
            "01-foundation": [named("ServiceAccount", "head"), named("Namespace", NAMESPACE, namespace="")],
            "05-application": [named("ConfigMap", "settings", data={"a": config}), service],
            "06-entrance": [deployment(), named("Ingress", "door", "networking.k8s.io/v1", spec={}), *more],
        }
        root = tmp_path / "tree"
        for wave, objects in layers.items():
            (root / wave).mkdir(parents=True, exist_ok=True)
            (root / wave / "objects.yaml").write_text(yaml.safe_dump_all(objects))
            (root / wave / "kustomization.yaml").write_text(yaml.safe_dump({"resources": ["objects.yaml"]}))
        (root / "kustomization.yaml").write_text(yaml.safe_dump({"resources": list(layers)}))
        return root

    return write


@pytest.fixture
def run(kubeconfig: Path, soon: Patience, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `manta cluster ...`, less patient than for a person."""
    for module in (wait, rollback):
        monkeypatch.setattr(module, "Patience", lambda: soon)
    options = apply_command.Options
    monkeypatch.setattr(apply_command, "Options", lambda **given: options(**given, patience=soon))
    monkeypatch.setattr(waves, "LOOK_EVERY_S", 0.05)

    def call(*words: str, **options: Any) -> Result:
        line = [words[0], "--kubeconfig", str(kubeconfig), *words[1:]]
        done = CliRunner().invoke(command, line, standalone_mode=False, **options)
        if done.exception is None:
            done.exit_code = done.return_value  # as `manta` ends with
        return done

    return call
