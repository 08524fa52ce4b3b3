from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cluster.render import names
from cluster.render.nodes.classes import node_classes
from cluster.render.nodes.pools import node_pools


def _values(pool: dict[str, Any], key: str) -> list[str]:
    (found,) = [one for one in pool["spec"]["template"]["spec"]["requirements"] if one["key"] == key]
    return list(found["values"])


def _of_role(pools: list[dict[str, Any]], role: str) -> list[dict[str, Any]]:
    return [
        pool for pool in pools if pool["spec"]["template"]["metadata"]["labels"][names.ROLE_LABEL] == role
    ]


def _tolerated(taint: dict[str, str], toleration: dict[str, str]) -> bool:
    return {"operator": "Equal", **taint} == toleration


def test_each_groups_pods_find_nodes_of_one_role(each: Any) -> None:
    pools = node_pools(*each)
    for group in (each.plan.head, *each.plan.groups):
        toleration = names.role_toleration(group.role)
        tolerable = [
            pool
            for pool in pools
            if all(_tolerated(taint, toleration) for taint in pool["spec"]["template"]["spec"]["taints"])
        ]
        chosen = [pool for pool in _of_role(pools, group.role) if pool in tolerable]
        assert chosen
        # What tolerates one role's taint tolerates no other's: pods cannot stray.
        assert tolerable == chosen
        bought = {name for pool in chosen for name in _values(pool, "node.kubernetes.io/instance-type")}
        assert {fit.instance.name for fit in group.fits} <= bought


def test_weights_prefer_the_first_way_to_pay_and_graviton(planned: Callable[..., Any]) -> None:
    families = {"instance_families": ["m8g", "m7i"], "capacity": ["spot", "on-demand"], "max_nodes": 40}
    each = planned("eks-gpu", cluster__pools__ingress=families)
    pools = sorted(_of_role(node_pools(*each), "ingress"), key=lambda pool: -pool["spec"]["weight"])
    assert [
        (_values(pool, "karpenter.sh/capacity-type"), _values(pool, "kubernetes.io/arch")) for pool in pools
    ] == [
        (["spot"], ["arm64"]),
        (["spot"], ["amd64"]),
        (["on-demand"], ["arm64"]),
        (["on-demand"], ["amd64"]),
    ]
    weights = [pool["spec"]["weight"] for pool in pools]
    assert len(set(weights)) == len(weights)
    assert all(1 <= weight <= 100 for weight in weights)


def test_a_pool_buys_only_its_own_processor(each: Any) -> None:
    architectures = {
        instance.name: instance.architecture for pool in each.plan.pools for instance in pool.instance_types
    }
    for pool in node_pools(*each):
        (architecture,) = _values(pool, "kubernetes.io/arch")
        types = _values(pool, "node.kubernetes.io/instance-type")
        assert types
        assert {architectures[name] for name in types} == {architecture}
        assert _values(pool, "topology.kubernetes.io/zone") == list(each.cluster.zone_names())


def test_nothing_takes_the_heads_node_by_surprise(planned: Callable[..., Any]) -> None:
    (head,) = _of_role(node_pools(*planned("eks-gpu")), "head")
    node = head["spec"]["template"]["spec"]
    assert node["expireAfter"] == "Never"
    # It would end pods that a budget or `do-not-disrupt` holds, and let drift begin.
    assert "terminationGracePeriod" not in node
    assert {"nodes": "0", "reasons": ["Drifted", "Underutilized"]} in head["spec"]["disruption"]["budgets"]
    assert head["spec"]["disruption"]["consolidationPolicy"] == "WhenEmpty"


def test_nodes_with_ray_are_not_cleared_to_save_money(each: Any) -> None:
    for pool in node_pools(*each):
        role = pool["spec"]["template"]["metadata"]["labels"][names.ROLE_LABEL]
        wanted = "WhenEmptyOrUnderutilized" if role == "system" else "WhenEmpty"
        assert pool["spec"]["disruption"]["consolidationPolicy"] == wanted


def test_an_expired_node_leaves_longer_than_its_pods_need(each: Any) -> None:
    longest_s = max(group.drain_s for group in each.plan.groups)
    for pool in node_pools(*each):
        grace = pool["spec"]["template"]["spec"].get("terminationGracePeriod")
        if grace is not None:
            assert int(grace.removesuffix("h")) * 3600 > longest_s + each.cluster.upgrade.drain_s


def test_auto_mode_never_keeps_a_node_longer_than_it_may(planned: Callable[..., Any]) -> None:
    gpu = {"instance_families": ["g6e"], "max_nodes": 8, "root_volume_gib": 200, "expire_after_h": 720}
    each = planned("eks-gpu", cluster__compute="auto-mode", cluster__pools__gpu=gpu)
    for pool in node_pools(*each):
        node = pool["spec"]["template"]["spec"]
        assert int(node["expireAfter"].removesuffix("h")) <= 21 * 24
        assert node["nodeClassRef"]["group"] == "eks.amazonaws.com"


def test_each_pool_refers_to_a_class_that_is_there(each: Any) -> None:
    classes = {
        (one["apiVersion"].partition("/")[0], one["kind"], one["metadata"]["name"])
        for one in node_classes(*each)
    }
    for pool in node_pools(*each):
        reference = pool["spec"]["template"]["spec"]["nodeClassRef"]
        assert (reference["group"], reference["kind"], reference["name"]) in classes


def test_the_limit_holds_the_planned_peak(each: Any) -> None:
    for planned_pool in each.plan.pools:
        smallest = min(instance.num_vcpus for instance in planned_pool.instance_types)
        for pool in _of_role(node_pools(*each), planned_pool.role):
            assert int(pool["spec"]["limits"]["cpu"]) >= planned_pool.peak_nodes * smallest


@pytest.mark.parametrize("role", ["gpu", "neuron"])
def test_device_plugins_may_run_where_devices_are(role: str) -> None:
    """Their DaemonSets tolerate their own resource's taint and no other of ours."""
    taint = names.role_taint(role)
    assert taint["key"] == {"gpu": "nvidia.com/gpu", "neuron": "aws.amazon.com/neuron"}[role]
