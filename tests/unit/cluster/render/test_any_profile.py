"""What must hold whatever a profile chooses, over profiles that nobody wrote."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.render import names
from cluster.render.access import access
from cluster.render.accounts import accounts
from cluster.render.disruption import budgets
from cluster.render.entrance.objects import entrance
from cluster.render.iam.documents import documents
from cluster.render.namespaces import namespaces, used
from cluster.render.network.policies import policies
from cluster.render.nodes.buffers import buffers
from cluster.render.nodes.classes import node_classes
from cluster.render.nodes.pools import node_pools
from cluster.render.quotas import devices_of, quotas

FAMILIES = (
    namespaces,
    accounts,
    access,
    quotas,
    policies,
    budgets,
    node_classes,
    node_pools,
    buffers,
    entrance,
)
NAME = re.compile(r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")
CERTIFICATE = "arn:aws:acm:us-east-1:111122223333:certificate/abc"

capacity = st.lists(st.sampled_from(["on-demand", "spot"]), min_size=1, max_size=2, unique=True)
families = st.lists(st.sampled_from(["m8g", "m7g", "m7i", "r8g"]), min_size=1, max_size=4, unique=True)
pool = st.fixed_dictionaries(
    {"instance_families": families, "capacity": capacity, "max_nodes": st.just(400)},
    optional={"buffer_pods": st.integers(0, 3), "expire_after_h": st.integers(24, 2000)},
)
way_in = st.one_of(
    st.fixed_dictionaries(
        {
            "kind": st.just("alb"),
            "domain": st.just("chat.example.com"),
            "certificate_arn": st.just(CERTIFICATE),
            "internal": st.booleans(),
        }
    ),
    st.fixed_dictionaries(
        {
            "kind": st.just("gateway-api"),
            "domain": st.just("chat.example.com"),
            "gateway_class": st.just("istio"),
            "tls_secret": st.sampled_from([None, "certificate"]),
            "proxy_namespace": st.sampled_from([None, "istio-system"]),
        }
    ),
)
changes = st.fixed_dictionaries(
    {
        "cluster__compute": st.sampled_from(["karpenter", "auto-mode"]),
        "cluster__node_image": st.sampled_from(["al2023", "bottlerocket"]),
        "cluster__entrance": way_in,
        "cluster__pools__ingress": pool,
        "cluster__upgrade": st.fixed_dictionaries({"drain_s": st.integers(0, 600)}),
        "cluster__network": st.fixed_dictionaries(
            {"https_cidrs": st.sampled_from([[], ["0.0.0.0/0"], ["192.0.2.0/24", "198.51.100.0/24"]])}
        ),
    }
)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(changes=changes, has_litellm=st.booleans())
def test_the_parts_agree(planned: Callable[..., Any], changes: dict[str, Any], *, has_litellm: bool) -> None:
    if not has_litellm:
        changes = changes | {"cluster__parts__litellm": None}
    each = planned("eks-gpu", **changes)
    objects = [one for family in FAMILIES for one in family(*each)]
    _names_are_names(objects)
    _pods_find_nodes(each, objects)
    _names_can_be_asked(each, objects)
    _quota_holds(each, objects)
    _roles_are_narrow(each)


def _names_are_names(objects: list[dict[str, Any]]) -> None:
    identities = [
        (one["apiVersion"], one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"])
        for one in objects
    ]
    assert len(identities) == len(set(identities))
    assert all(NAME.match(name) and len(name) <= 63 for *_, name in identities)


def _pods_find_nodes(each: Any, objects: list[dict[str, Any]]) -> None:
    templates = [one["spec"]["template"] for one in objects if one["kind"] == "NodePool"]
    for group in (each.plan.head, *each.plan.groups):
        toleration = names.role_toleration(group.role)
        fitting = [
            template
            for template in templates
            if template["metadata"]["labels"][names.ROLE_LABEL] == group.role
            and all({"operator": "Equal", **taint} == toleration for taint in template["spec"]["taints"])
        ]
        assert len(fitting) == len(group.capacity) * len(
            next(pool for pool in each.plan.pools if pool.role == group.role).architectures
        )


def _names_can_be_asked(each: Any, objects: list[dict[str, Any]]) -> None:
    for namespace in used(each.config):
        opened = [
            rule
            for one in objects
            if one["kind"] == "NetworkPolicy"
            and one["metadata"]["namespace"] == namespace
            and one["spec"]["podSelector"] == {}
            for rule in one["spec"].get("egress", ())
        ]
        assert any({"protocol": "UDP", "port": 53} in rule.get("ports", ()) for rule in opened)


def _quota_holds(each: Any, objects: list[dict[str, Any]]) -> None:
    (hard,) = [
        one["spec"]["hard"]
        for one in objects
        if one["kind"] == "ResourceQuota"
        and one["metadata"]["namespace"] == each.cluster.namespaces.application
    ]
    groups = (each.plan.head, *each.plan.groups)
    assert int(hard["pods"]) >= 2 * sum(group.peak_pods for group in groups)
    gpus = sum(group.peak_pods * devices_of(group).get("nvidia.com/gpu", 0) for group in groups)
    assert int(hard["requests.nvidia.com/gpu"]) >= 2 * gpus


def _roles_are_narrow(each: Any) -> None:
    for path, document in documents(*each).items():
        if path.endswith(".policy.json"):
            for statement in document["Statement"]:
                assert all("*" not in action for action in statement["Action"])
                assert "*" not in statement["Resource"]
