"""What stands around Ray, in every form that a profile can choose, held against lint's strict schemas and rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from cluster.lint.findings import Severity
from cluster.lint.lint import lint
from cluster.render.access import access
from cluster.render.accounts import accounts
from cluster.render.disruption import budgets, priorities
from cluster.render.entrance.objects import entrance
from cluster.render.namespaces import namespaces
from cluster.render.network.policies import policies
from cluster.render.nodes.buffers import buffers
from cluster.render.nodes.classes import node_classes
from cluster.render.nodes.pools import node_pools
from cluster.render.quotas import quotas
from cluster.render.ray.service import ray_service

FAMILIES = (
    namespaces,
    accounts,
    access,
    quotas,
    policies,
    priorities,
    budgets,
    node_classes,
    node_pools,
    buffers,
    entrance,
    ray_service,  # whose pods the others are for
)
ALB = {
    "kind": "alb",
    "domain": "chat.example.com",
    "certificate_arn": "arn:aws:acm:us-east-1:111122223333:certificate/abc",
}
GATEWAY = {"kind": "gateway-api", "domain": "chat.example.com", "gateway_class": "istio"}
WARM = {"instance_families": ["g6e"], "max_nodes": 10, "root_volume_gib": 200, "buffer_pods": 2}


def _objects(each: Any) -> list[dict[str, Any]]:
    return [one for family in FAMILIES for one in family(*each)]


@pytest.mark.parametrize("compute", ["karpenter", "auto-mode"])
@pytest.mark.parametrize("way_in", [ALB, GATEWAY], ids=["alb", "gateway-api"])
def test_lint_finds_nothing_wrong(planned: Callable[..., Any], compute: str, way_in: dict[str, Any]) -> None:
    each = planned("eks-gpu", cluster__compute=compute, cluster__entrance=way_in, cluster__pools__gpu=WARM)
    text = yaml.safe_dump_all(_objects(each))
    wrong = [found for found in lint(("-",), stdin=lambda: text) if found.severity >= Severity.WARNING]
    assert wrong == []


def test_an_object_has_its_name_once(each: Any) -> None:
    identities = [
        (one["apiVersion"], one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"])
        for one in _objects(each)
    ]
    assert len(identities) == len(set(identities))


def test_rendering_twice_gives_the_same(each: Any) -> None:
    assert _objects(each) == _objects(each)
