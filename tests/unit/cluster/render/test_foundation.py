"""Namespaces, accounts, roles of people, quotas, budgets: what holds for everything that stands on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cluster.plan_types import GIB
from cluster.render import names
from cluster.render.access import OPERATORS, VIEWERS, access
from cluster.render.accounts import accounts
from cluster.render.disruption import budgets, priorities
from cluster.render.namespaces import namespaces, used
from cluster.render.quotas import devices_of, quotas

MIB = 2**20


def test_every_namespace_says_what_its_pods_must_meet(each: Any) -> None:
    made = {one["metadata"]["name"]: one["metadata"]["labels"] for one in namespaces(*each)}
    enforced = {name: labels["pod-security.kubernetes.io/enforce"] for name, labels in made.items()}
    spaces = each.cluster.namespaces
    assert enforced[spaces.application] == enforced[spaces.gateway] == "restricted"
    assert set(enforced.values()) <= {"restricted", "baseline"}
    assert {labels["pod-security.kubernetes.io/warn"] for labels in made.values()} == {"restricted"}


def test_a_namespace_of_parts_that_are_left_out_is_left_out(planned: Callable[..., Any]) -> None:
    without = planned(
        "eks-graviton",
        cluster__parts={"monitoring": None},
        knowledge__store={"kind": "opensearch", "url": "https://opensearch.example.com"},
        tracing={},
    )
    assert used(without.config) == ("manta", "manta-gateway")


def test_only_the_head_may_talk_to_kubernetes(each: Any) -> None:
    has_token = {one["metadata"]["name"]: one["automountServiceAccountToken"] for one in accounts(*each)}
    assert [name for name, token in has_token.items() if token] == [names.HEAD_ACCOUNT]


def test_nobody_reads_secrets_or_grants_roles(each: Any) -> None:
    made = access(*each)
    rules = [rule for one in made for rule in one.get("rules", ())]
    assert rules
    for rule in rules:
        assert not {"secrets", "roles", "rolebindings", "clusterroles", "serviceaccounts/token"} & {
            *rule["resources"]
        }
        assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]


def test_an_operator_may_do_all_that_a_viewer_may(each: Any) -> None:
    def allowed(name: str) -> set[tuple[str, str, str]]:
        roles = [one for one in access(*each) if one["kind"] == "Role" and one["metadata"]["name"] == name]
        return {
            (group, resource, verb)
            for one in roles
            for rule in one["rules"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
        }

    viewer, operator = allowed("manta-viewer"), allowed("manta-operator")
    assert viewer < operator
    assert {verb for _, _, verb in viewer} == {"get", "list", "watch"}
    assert ("ray.io", "rayservices", "patch") in operator
    assert ("", "pods/eviction", "create") in operator


def test_every_role_is_held_by_a_group(each: Any) -> None:
    made = access(*each)
    roles = {(one["metadata"].get("namespace"), one["metadata"]["name"]) for one in made if "rules" in one}
    bound = {
        (one["metadata"].get("namespace"), one["roleRef"]["name"]): {who["name"] for who in one["subjects"]}
        for one in made
        if "roleRef" in one
    }
    assert set(bound) == roles
    assert {group for groups in bound.values() for group in groups} == {VIEWERS, OPERATORS}


def _quantity(text: str) -> float:
    for unit, factor in (("Mi", MIB), ("Gi", GIB), ("m", 1 / 1000)):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    return float(text)


def _hard(each: Any, namespace: str) -> dict[str, float]:
    (found,) = [
        one
        for one in quotas(*each)
        if one["kind"] == "ResourceQuota" and one["metadata"]["namespace"] == namespace
    ]
    return {name: _quantity(value) for name, value in found["spec"]["hard"].items()}


def test_the_quota_holds_two_whole_clusters_at_their_peak(each: Any) -> None:
    hard = _hard(each, each.cluster.namespaces.application)
    groups = (each.plan.head, *each.plan.groups)
    assert hard["pods"] >= 2 * sum(group.peak_pods for group in groups)
    assert hard["requests.cpu"] >= 2 * sum(group.peak_pods * group.pod.num_cpus for group in groups)
    memory = 2 * sum(group.peak_pods * group.pod.memory_bytes for group in groups)
    assert hard["requests.memory"] >= memory
    assert hard["limits.memory"] >= memory
    for group in groups:
        for resource, number in devices_of(group).items():
            assert hard[f"requests.{resource}"] >= 2 * group.peak_pods * number


def test_the_quota_is_no_blank_cheque(each: Any) -> None:
    """Half as much again would be refused: a slip in `max_replicas` shows before the bill."""
    hard = _hard(each, each.cluster.namespaces.application)
    peak = sum(group.peak_pods for group in (each.plan.head, *each.plan.groups))
    assert hard["pods"] < 3 * peak + 10


def test_the_quota_holds_the_gateway_through_a_rollout(planned: Callable[..., Any]) -> None:
    each = planned("eks-gpu")
    hard = _hard(each, each.cluster.namespaces.gateway)
    litellm = each.cluster.parts.litellm
    assert hard["pods"] >= 2 * litellm.max_replicas
    assert hard["requests.memory"] >= 2 * litellm.max_replicas * litellm.memory_gib * GIB


def test_a_service_opens_no_way_in_but_a_gateways(planned: Callable[..., Any]) -> None:
    alb = {
        "kind": "alb",
        "domain": "chat.example.com",
        "certificate_arn": "arn:aws:acm:us-east-1:111122223333:certificate/abc",
    }
    for each, is_open in ((planned("eks-gpu"), True), (planned("eks-gpu", cluster__entrance=alb), False)):
        for namespace in (each.cluster.namespaces.application, each.cluster.namespaces.gateway):
            hard = _hard(each, namespace)
            assert (hard["services.loadbalancers"] > 0) is is_open
            assert (hard["services.nodeports"] > 0) is is_open
        assert _hard(each, each.cluster.namespaces.observability)["services.loadbalancers"] == 0


def test_pods_of_others_are_only_counted(planned: Callable[..., Any]) -> None:
    """OpenSearch's bootstrap pod says nothing of memory: a quota would refuse it, and a default starve its Java."""
    each = planned("eks-graviton")
    namespace = each.cluster.namespaces.knowledge
    assert set(_hard(each, namespace)) == {"pods", "services.loadbalancers", "services.nodeports"}
    made = [(one["kind"], one["metadata"]["namespace"]) for one in quotas(*each)]
    assert ("LimitRange", namespace) not in made
    assert ("LimitRange", each.cluster.namespaces.application) in made


def test_limits_refuse_no_pod_of_the_plan_and_throttle_none(each: Any) -> None:
    ranges = [one for one in quotas(*each) if one["kind"] == "LimitRange"]
    limits = {one["metadata"]["namespace"]: one["spec"]["limits"][0] for one in ranges}
    for limit in limits.values():
        # Either would become the CPU limit of containers that have none on purpose.
        assert "cpu" not in limit["default"]
        assert "cpu" not in limit["max"]
    most = _quantity(limits[each.cluster.namespaces.application]["max"]["memory"])
    assert most >= max(group.pod.memory_bytes for group in (each.plan.head, *each.plan.groups))


def test_budgets_of_ray_count_who_stays(each: Any) -> None:
    """A RayCluster has no scale subresource: only whole numbers in minAvailable mean anything."""
    made = {one["spec"]["selector"]["matchLabels"][names.GROUP_LABEL]: one["spec"] for one in budgets(*each)}
    assert made["head"]["minAvailable"] == 1
    for group in each.plan.groups:
        if group.min_pods == 0:
            assert group.name not in made
        else:
            stay = made[group.name]["minAvailable"]
            assert isinstance(stay, int)
            assert 1 <= stay <= group.min_pods
            assert stay < group.min_pods or group.min_pods == 1
    assert all("maxUnavailable" not in spec for spec in made.values())


def test_the_head_goes_before_what_it_steers(each: Any) -> None:
    values = {one["metadata"]["name"]: one["value"] for one in priorities(*each)}
    assert values[names.HEAD_PRIORITY] > values[names.SERVING_PRIORITY] > 0
    assert all(value < 1_000_000_000 for value in values.values())  # above are Kubernetes' own


@pytest.mark.parametrize("profile", ["eks-gpu", "eks-neuron"])
def test_devices_are_counted_as_their_plugins_name_them(planned: Callable[..., Any], profile: str) -> None:
    resource = {"eks-gpu": "nvidia.com/gpu", "eks-neuron": "aws.amazon.com/neuron"}[profile]
    found = [devices_of(group) for group in planned(profile).plan.groups]
    assert any(devices.get(resource, 0) >= 1 for devices in found)
