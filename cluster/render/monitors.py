"""PodMonitors: who Prometheus asks for numbers, and under which labels it keeps them.

Ray's exporter in each of Ray's pods has the application's series, Ray's and vLLM's. KubeRay's own labels become labels
of the series under the names that Ray's own dashboards use, so that those work beside ours.
"""

from __future__ import annotations

from cluster.plan_types import ClusterPlan
from cluster.render import names
from cluster.render.collector import METRICS_PORT_NAME as COLLECTOR_PORT
from cluster.render.objects import Object, metadata
from cluster.render.workloads import selector
from cluster.section import cluster_of
from configs.schema import MonitoringPart, PlatformConfig

RAY_PORT = "metrics"  # KubeRay's name for the container port of Ray's exporter, on head and workers
# A worker group's name: `ray.io/group` is KubeRay's, and the head has none; ours is on all.
GROUP = "manta_group"
_POD_LABELS = {names.GROUP_LABEL: GROUP, names.RAY_CLUSTER_LABEL: "ray_io_cluster"}


def monitors(config: PlatformConfig, _plan: ClusterPlan) -> list[Object]:
    """A monitor for Ray's pods, and one for each other part that has numbers to tell."""
    cluster = cluster_of(config)
    part = cluster.parts.monitoring
    if part is None:
        return []
    spaces = cluster.namespaces
    made = [
        _monitor(
            part,
            "ray",
            spaces.application,
            {"matchExpressions": [{"key": names.GROUP_LABEL, "operator": "Exists"}]},
            RAY_PORT,
            "/metrics",
        )
    ]
    told = () if config.litellm is None else config.litellm.callbacks
    if cluster.parts.litellm is not None and "prometheus" in told:
        pods = {"matchLabels": selector(names.LITELLM)}
        made.append(_monitor(part, names.LITELLM, spaces.gateway, pods, "http", "/metrics/"))
    if cluster.parts.collector is not None:
        pods = {"matchLabels": selector(names.COLLECTOR)}
        made.append(_monitor(part, names.COLLECTOR, spaces.observability, pods, COLLECTOR_PORT, "/metrics"))
    return made


def _monitor(part: MonitoringPart, name: str, namespace: str, pods: Object, port: str, path: str) -> Object:
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": metadata(name, "monitoring", namespace, labels=dict(part.labels)),
        "spec": {
            "jobLabel": names.COMPONENT_LABEL,
            "selector": pods,
            "podMetricsEndpoints": [
                {
                    "port": port,
                    "path": path,
                    "interval": f"{part.interval_s}s",
                    "scrapeTimeout": f"{min(part.interval_s, 10)}s",
                    "relabelings": [_kept(label, kept) for label, kept in _POD_LABELS.items()],
                }
            ],
        },
    }


def _kept(label: str, kept: str) -> Object:
    """A pod's label as a label of its series."""
    # As Prometheus' discovery names them: what is no letter, digit or underscore becomes one.
    source = "__meta_kubernetes_pod_label_" + "".join(one if one.isalnum() else "_" for one in label)
    return {"action": "replace", "sourceLabels": [source], "targetLabel": kept}
