"""Who comes in: clients by a load balancer or a Gateway's proxies, LiteLLM, and who scrapes metrics."""

from __future__ import annotations

from cluster.render import names
from cluster.render.network.rules import (
    EVERY_POD,
    GATEWAY_PROXIES,
    RAY_PODS,
    Peer,
    Selector,
    addresses,
    coming,
    component,
    going,
    pods,
    policy,
    proxies_of,
)
from cluster.render.objects import Object
from configs.schema import ClusterConfig, GatewayApiEntrance

OTLP_PORTS = (4317, 4318)


def clients(cluster: ClusterConfig) -> list[Peer]:
    """Who brings requests: the entrance, and agents that kagent runs."""
    return [*entrance(cluster), *agents(cluster)]


def agents(cluster: ClusterConfig) -> list[Peer]:
    """The pods of agents that kagent runs; nobody where it runs none."""
    kagent = cluster.parts.kagent
    return [] if kagent is None else [pods(EVERY_POD, kagent.namespace)]


def entrance(cluster: ClusterConfig) -> list[Peer]:
    """A load balancer in the VPC's subnets, or a Gateway's proxies."""
    if isinstance(cluster.entrance, GatewayApiEntrance):
        spaces = [cluster.namespaces.application, cluster.namespaces.gateway]
        if cluster.entrance.proxy_namespace is not None:
            spaces.append(cluster.entrance.proxy_namespace)
        return [pods(GATEWAY_PROXIES, namespace) for namespace in dict.fromkeys(spaces)]
    return [addresses(cidr) for cidr in cluster.network.entrance_cidrs or (cluster.network.vpc_cidr,)]


def callers_of_the_application(cluster: ClusterConfig) -> list[Peer]:
    """LiteLLM where there is one, and nobody else but proxies that stand between the two, and kagent's agents,
    whose tools are behind /mcp, which LiteLLM does not pass on."""
    if cluster.parts.litellm is None:
        return clients(cluster)
    litellm = pods(component(names.LITELLM), cluster.namespaces.gateway)
    between = entrance(cluster) if cluster.entrance.kind == "gateway-api" else []
    return [litellm, *between, *agents(cluster)]


def scrapers(cluster: ClusterConfig) -> list[Peer]:
    """Who reads metrics; nobody where none are watched."""
    is_watched = cluster.parts.monitoring is not None
    return [pods(EVERY_POD, names.MONITORING_NAMESPACE)] if is_watched else []


def collectors(cluster: ClusterConfig) -> list[Peer]:
    """Who takes traces; nobody where there is no collector."""
    namespace = cluster.namespaces.observability
    return [pods(component(names.COLLECTOR), namespace)] if cluster.parts.collector is not None else []


def proxies(cluster: ClusterConfig, namespace: str) -> list[Object]:
    """A Gateway's proxies that run in our namespace: they talk to their controller, wherever that is.

    Clients come to those of the entrance; those of KubeRay's Gateway, beside Ray, are for LiteLLM where there is one,
    else for the entrance's, and for kagent's agents, whose tools are behind /mcp.
    Pods have addresses of the VPC, so those would do on EKS; they are named besides, for other networks.
    """
    if cluster.entrance.kind != "gateway-api":
        return []
    spaces, vpc = cluster.namespaces, addresses(cluster.network.vpc_cidr)
    litellm = pods(component(names.LITELLM), spaces.gateway)
    if namespace != spaces.application:
        return [_proxies(cluster, "gateway-proxies", namespace, GATEWAY_PROXIES, [vpc, litellm])]
    if cluster.parts.litellm is not None:
        return [_proxies(cluster, "gateway-proxies", namespace, GATEWAY_PROXIES, [litellm, *agents(cluster)])]
    behind = [*entrance(cluster), *agents(cluster)]
    return [
        _proxies(cluster, "gateway-proxies", namespace, proxies_of(names.ENTRANCE), [vpc]),
        _proxies(cluster, "ray-gateway-proxies", namespace, proxies_of(names.RAY_GATEWAY), behind),
    ]


def _proxies(
    cluster: ClusterConfig, name: str, namespace: str, selector: Selector, callers: list[Peer]
) -> Object:
    """`callers` in; out to their controller, to what may be behind the entrance, and from there to Ray."""
    spaces, vpc = cluster.namespaces, addresses(cluster.network.vpc_cidr)
    egress = [
        going([vpc, addresses(cluster.network.service_cidr)]),
        going([pods(component(names.LITELLM), spaces.gateway)], names.LITELLM_PORT),
        going([pods(RAY_PODS, spaces.application)], names.HTTP_PORT),
    ]
    if cluster.parts.litellm is None:
        egress.append(going([pods(proxies_of(names.RAY_GATEWAY), spaces.application)]))
    return policy(name, namespace, selector, ingress=[coming(callers)], egress=egress)
