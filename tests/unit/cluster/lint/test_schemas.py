"""The schemas in the repository: all of them can be used, and they are what the sources say."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cluster.lint import cel, compact, list_serve_schema
from cluster.lint.schemas import Schemas

FOLDER = Path(compact.__file__).with_name("schemas")
CRDS = Path(__file__).parents[5] / "shared/crds"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_every_rule_and_pattern_can_be_read(path: Path) -> None:
    for part in json.loads(path.read_text())["parts"]:
        for rule in part.get("x-kubernetes-validations", ()):
            cel._read(rule["rule"])
        if "pattern" in part:
            re.compile(("(?i)" if "(?i)" in part["pattern"] else "") + part["pattern"].replace("(?i)", ""))


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        ("ray.io/v1", "RayService"),
        ("karpenter.sh/v1", "NodePool"),
        ("karpenter.k8s.aws/v1", "EC2NodeClass"),
        ("keda.sh/v1alpha1", "ScaledObject"),
        ("monitoring.coreos.com/v1", "PodMonitor"),
        ("gateway.networking.k8s.io/v1", "HTTPRoute"),
        ("inference.networking.k8s.io/v1", "InferencePool"),
        ("kagent.dev/v1alpha2", "Agent"),
        ("opensearch.org/v1", "OpenSearchCluster"),
        ("v1", "Service"),
        ("apps/v1", "Deployment"),
        ("networking.k8s.io/v1", "NetworkPolicy"),
        ("policy/v1", "PodDisruptionBudget"),
        ("batch/v1", "CronJob"),
        ("autoscaling/v2", "HorizontalPodAutoscaler"),
        ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    ],
)
def test_kinds_that_a_cluster_of_ours_has(version: str, kind: str) -> None:
    assert Schemas().kind(version, kind) is not None


def test_a_group_with_a_path_in_it_is_nobodys() -> None:
    assert Schemas().kind("../../etc/passwd/v1", "X") is None


def test_they_are_what_the_crds_say(tmp_path: Path) -> None:
    if not CRDS.is_dir():
        pytest.skip(f"no CRDs at {CRDS}: the committed schemas are not compared with their sources")
    compact.write(CRDS, tmp_path)
    made = {path.name: path.read_text() for path in tmp_path.glob("*.json")}
    assert made == {path.name: path.read_text() for path in FOLDER.glob("*.json")}


def test_serves_schema_is_that_of_the_installed_ray() -> None:
    committed = json.loads((FOLDER.parent / "serve_schema.json").read_text())
    assert list_serve_schema.document() == committed
