"""The dashboards as ConfigMaps, which Grafana's sidecar loads."""

from __future__ import annotations

import json

from cluster.plan_types import ClusterPlan
from cluster.render.dashboards import agents, cost, models, resources
from cluster.render.dashboards.grafana import NAMESPACE, Dashboard
from cluster.render.objects import Object, metadata
from cluster.render.queries import Queries
from cluster.section import cluster_of
from configs.schema import PlatformConfig, VllmModel

# Grafana's sidecar puts a dashboard into the folder that this names (kube-prometheus-stack: `folderAnnotation`).
_FOLDER = {"grafana_folder": "Manta"}


def dashboards(config: PlatformConfig, plan: ClusterPlan) -> list[Object]:
    """A ConfigMap a dashboard; none, where the profile has no `parts.monitoring`."""
    cluster = cluster_of(config)
    part = cluster.parts.monitoring
    if part is None:
        return []
    spaces = cluster.namespaces
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata(
                one.uid,
                "monitoring",
                spaces.observability,
                labels=dict(part.dashboard_labels),
                annotations=_FOLDER,
            ),
            "data": {f"{one.uid}.json": json.dumps(one.json(spaces.application), indent=1) + "\n"},
        }
        for one in made(config, plan)
    ]


def made(config: PlatformConfig, plan: ClusterPlan) -> list[Dashboard]:
    """The dashboards that a profile has."""
    ask = Queries(NAMESPACE)
    return [
        agents.dashboard(ask),
        models.dashboard(ask, has_vllm=any(isinstance(one, VllmModel) for one in config.models)),
        resources.dashboard(ask, has_gpus=any(group.pod.num_gpus for group in plan.groups)),
        cost.dashboard(ask, plan.total.expected.on_demand),
    ]
