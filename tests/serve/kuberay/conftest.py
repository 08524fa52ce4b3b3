"""An API server and a KubeRay operator on loopback, and our client of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from apiserver.operator import Operator, World, operating
from apiserver.server import ApiServer, serving

from kuberay.cluster import Cluster
from kuberay.patience import Patience

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
