"""Alerts: each says what to do, and fires by the profile's own numbers."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from cluster.render.alerts.base import Alert, duration
from cluster.render.alerts.rules import alerts_by_group, rules


def named(planned: Any, name: str) -> list[Alert]:
    return [one for alerts in alerts_by_group(*planned).values() for one in alerts if one.name == name]


def test_each_says_what_is_seen_and_what_to_do(each: Any) -> None:
    for alerts in alerts_by_group(*each).values():
        assert alerts
        for alert in alerts:
            assert alert.name.startswith("Manta")
            assert alert.summary.endswith(".")
            assert len(alert.runbook) > 60
            # A template's label is one that the expression keeps.
            for label in re.findall(r"\$labels\.(\w+)", alert.summary):
                assert re.search(rf"by \([^)]*\b{label}\b", alert.expr), f"{alert.name} has no {label}"


def test_alerts_that_others_name_exist(each: Any) -> None:
    found = [one for alerts in alerts_by_group(*each).values() for one in alerts]
    names = {one.name for one in found} | {"MantaKvCacheFull", "MantaSourcesFailing", "MantaBudgetOverdrawn"}
    for alert in found:
        assert set(re.findall(r"Manta[A-Z]\w+", alert.runbook)) <= names


def test_a_page_for_every_alert(each: Any, repository: Any) -> None:
    page = (repository / "docs" / "observability.md").read_text()
    for alerts in alerts_by_group(*each).values():
        for alert in alerts:
            assert f"`{alert.name}`" in page


def test_only_what_users_see_now_wakes_somebody(each: Any) -> None:
    found = [one for alerts in alerts_by_group(*each).values() for one in alerts]
    critical = {one.name for one in found if one.severity == "critical"}
    assert critical == {"MantaNotSeen", "MantaIngressErrors", "MantaReplicasMissing", "MantaDeploymentFailed"}


def test_a_queue_is_old_at_half_of_what_it_may_wait(planned: Callable[..., Any]) -> None:
    config, plan = planned("eks-graviton")
    by_limit = {
        alert.expr.rpartition("> ")[2]: alert.expr for alert in named((config, plan), "MantaQueueOld")
    }
    for model in config.models:
        assert model.name.replace(".", "[.]") in by_limit[f"{model.scaling.max_queue_wait_s / 2:g}"]


def test_missing_replicas_are_missing_only_after_the_time_that_one_takes_to_start(each: Any) -> None:
    minimum = {
        replica.deployment: replica.min_replicas for group in each.plan.groups for replica in group.replicas
    }
    cold_s = {
        replica.deployment: group.cold_start.total_s
        for group in each.plan.groups
        for replica in group.replicas
    }
    seen = set()
    for alert in named(each, "MantaReplicasMissing"):
        number = int(alert.expr.rpartition("< ")[2])
        which = re.search(r'deployment=~"([^"]+)"', alert.expr)
        assert which is not None
        for deployment in which[1].replace("[.]", ".").split("|"):
            seen.add(deployment)
            assert minimum[deployment] == number
            assert alert.for_s >= 2 * cold_s[deployment]
    assert seen == {name for name, number in minimum.items() if number}


def test_probes_are_no_requests(each: Any) -> None:
    """HAProxy counts them, every pod's every few seconds, and those of a pod that starts or ends are errors."""
    for alerts in alerts_by_group(*each).values():
        for alert in alerts:
            for selector in re.findall(r"ray_serve_(?:num_)?http_\w+\{[^}]*\}", alert.expr):
                assert 'application!=""' in selector, alert.expr


def test_a_deployment_is_at_its_limit_when_the_policy_wants_its_most(each: Any) -> None:
    """`cluster.policies` never decides for more than may be: nothing would ever be above it."""
    most = {
        replica.deployment: replica.max_replicas for group in each.plan.groups for replica in group.replicas
    }
    for alert in named(each, "MantaAtItsLimit"):
        which = re.search(r'deployment=~"([^"]+)"', alert.expr)
        assert which is not None
        for deployment in which[1].replace("[.]", ".").split("|"):
            assert alert.expr.endswith(f" >= {most[deployment]}")
            assert most[deployment] > 1  # one that only sleeps and wakes is at its limit whenever it is awake


def test_what_is_turned_away_is_a_share_of_what_the_same_part_is_asked(each: Any) -> None:
    deployments = {
        replica.name: replica.deployment for group in each.plan.groups for replica in group.replicas
    }
    found = {}
    for alert in named(each, "MantaRefusing"):
        name, deployment = (
            re.search(rf'\b{label}="([^"]+)"', alert.expr) for label in ("name", "deployment")
        )
        assert name is not None
        assert deployment is not None
        found[name[1]] = deployment[1]
    assert set(found) == set(deployments) - {"ingress", "knowledge"}
    assert all(deployments[name] == deployment for name, deployment in found.items())


def test_gpus_and_caches_are_watched_where_there_are_any(planned: Callable[..., Any]) -> None:
    assert named(planned("eks-gpu"), "MantaGpuMemoryFull")
    assert named(planned("eks-gpu"), "MantaKvCacheFull")
    assert not named(planned("eks-neuron"), "MantaGpuMemoryFull")  # Ray tells nothing of NeuronCores
    assert not named(planned("eks-graviton"), "MantaKvCacheFull")


def test_budgets_are_watched_where_there_are_any(planned: Callable[..., Any]) -> None:
    limited = planned("eks-graviton", door__tenant_limits={"usd_per_day": 5.0})
    assert named(limited, "MantaBudgetOverdrawn")
    unlimited = planned("eks-graviton", door__tenant_limits={"requests_per_min": 5})
    assert not named(unlimited, "MantaBudgetOverdrawn")


def test_rules_are_found_by_the_operator_and_lead_to_the_page(planned: Callable[..., Any]) -> None:
    part = {"labels": {"prometheus": "main"}, "runbook_url": "https://wiki.example/manta/"}
    (rule,) = rules(*planned("eks-graviton", cluster__parts__monitoring=part))
    assert rule["metadata"]["labels"]["prometheus"] == "main"
    first = rule["spec"]["groups"][0]["rules"][0]
    assert first["annotations"]["runbook_url"] == f"https://wiki.example/manta#{first['alert'].lower()}"


@pytest.mark.parametrize(
    ("seconds", "told"), [(0, "0s"), (90, "90s"), (900, "15m"), (21600, "6h"), (3660, "61m")]
)
def test_durations(seconds: int, told: str) -> None:
    assert duration(seconds) == told
