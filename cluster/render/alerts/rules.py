"""The PrometheusRule of all alerts, in groups."""

from __future__ import annotations

from collections.abc import Iterable

from cluster.plan_types import ClusterPlan
from cluster.render.alerts import answers, engines, serving
from cluster.render.alerts.base import Alert
from cluster.render.objects import Object, metadata
from cluster.render.queries import Queries
from cluster.section import cluster_of
from configs.schema import PlatformConfig

NAME = "manta"


def rules(config: PlatformConfig, plan: ClusterPlan) -> list[Object]:
    """One PrometheusRule; none, where the profile has no `parts.monitoring`."""
    cluster = cluster_of(config)
    part = cluster.parts.monitoring
    if part is None:
        return []
    groups = [
        {"name": f"{NAME}.{name}", "rules": [one.rule(part.runbook_url) for one in found]}
        for name, found in alerts_by_group(config, plan).items()
    ]
    return [
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": metadata(
                NAME, "monitoring", cluster.namespaces.application, labels=dict(part.labels)
            ),
            "spec": {"groups": groups},
        }
    ]


def alerts_by_group(config: PlatformConfig, plan: ClusterPlan) -> dict[str, list[Alert]]:
    """Group -> its alerts, none of them empty."""
    ask = Queries(cluster_of(config).namespaces.application)
    found: dict[str, Iterable[Alert]] = {
        "serving": serving.alerts(config, plan, ask),
        "engines": engines.alerts(config, plan, ask),
        "answers": answers.alerts(config, ask),
    }
    return {name: list(alerts) for name, alerts in found.items()}
