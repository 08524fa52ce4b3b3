"""Rules for Ray's pods: among themselves everything, from outside only requests, its operator and who reads metrics."""

from __future__ import annotations

from cluster.render import names
from cluster.render.network.callers import (
    OTLP_PORTS,
    callers_of_the_application,
    collectors,
    proxies,
    scrapers,
)
from cluster.render.network.outside import outside, reach_of_ray, redis_of_head, rules_of_egress
from cluster.render.network.rules import (
    HEAD_POD,
    RAY_PODS,
    Rule,
    Selector,
    addresses,
    coming,
    component,
    going,
    pods,
    policy,
)
from cluster.render.objects import Object
from cluster.section import cluster_of
from configs.schema import ClusterConfig, PlatformConfig

# Metrics of Ray's head besides: its autoscaler's and its dashboard's (ray/_private/ray_constants.py and
# ray/dashboard/consts.py, Ray 2.60).
_HEAD_METRICS_PORTS = (44217, 44227)


def of_ray(config: PlatformConfig) -> list[Object]:
    """The policies of the application's namespace."""
    cluster = cluster_of(config)
    namespace = cluster.namespaces.application
    requests = [coming(callers_of_the_application(cluster), names.HTTP_PORT)]
    egress = [*outside(reach_of_ray(config), cluster), *rules_of_egress(cluster)]

    def of(
        name: str, selector: Selector, *, ingress: list[Rule] | None = None, egress: list[Rule] | None = None
    ) -> Object:
        return policy(name, namespace, selector, ingress=ingress, egress=egress)

    made = [
        # Ray's processes listen on ports that they choose themselves, and HAProxy's statistics on all interfaces.
        of("ray-inside", RAY_PODS, ingress=[coming([pods(RAY_PODS)])], egress=[going([pods(RAY_PODS)])]),
        of(
            "ray-head",
            HEAD_POD,
            ingress=[_operator()],
            egress=[_api_server(cluster), *redis_of_head(cluster)],
        ),
        of("ray-requests", RAY_PODS, ingress=requests),
        of("ray-outside", RAY_PODS, egress=egress),
        *proxies(cluster, namespace),
    ]
    if scraping := scrapers(cluster):
        ports = (names.METRICS_PORT, *_HEAD_METRICS_PORTS)
        made.append(of("ray-metrics", RAY_PODS, ingress=[coming(scraping, *ports)]))
    traces = [going(collecting, *OTLP_PORTS)] if (collecting := collectors(cluster)) else []
    if traces:
        made.append(of("ray-traces", RAY_PODS, egress=traces))
    if cluster.parts.ingestion is not None:
        made.append(of("ingestion", component(names.INGESTION), egress=[*egress, *traces]))
    return made


def _operator() -> Rule:
    """KubeRay asks the dashboard how Serve does, and the head's own proxy whether it could take requests.

    Its label is the same in its chart and in its kustomization; `name` is not (KubeRay v1.7.0,
    ray-operator/controllers/ray/networkpolicy_controller.go).
    """
    operator = pods({"matchLabels": {names.COMPONENT_LABEL: "kuberay-operator"}}, names.KUBERAY_NAMESPACE)
    return coming([operator], names.DASHBOARD_PORT, names.HTTP_PORT)


def _api_server(cluster: ClusterConfig) -> Rule:
    """Ray's autoscaler asks Kubernetes for pods. The API server is no pod: it is a Service, and behind it the VPC."""
    return going([addresses(cluster.network.service_cidr), addresses(cluster.network.vpc_cidr)], 443)
