"""Rules for LiteLLM: clients in, the application and other providers out."""

from __future__ import annotations

from cluster.render import names
from cluster.render.network.callers import OTLP_PORTS, clients, collectors, entrance, proxies, scrapers
from cluster.render.network.outside import outside, reach_of_litellm
from cluster.render.network.rules import RAY_PODS, addresses, coming, component, going, pods, policy
from cluster.render.objects import Object
from cluster.section import cluster_of
from configs.schema import PlatformConfig

_POSTGRES_PORT = 5432  # the address is a secret: whatever port it names, it is expected here


def of_gateway(config: PlatformConfig) -> list[Object]:
    """The policies of the gateway's namespace."""
    cluster = cluster_of(config)
    namespace, litellm = cluster.namespaces.gateway, component(names.LITELLM)
    made = proxies(cluster, namespace)
    if cluster.parts.litellm is None:
        return made
    callers = [*clients(cluster), *scrapers(cluster)]
    upstream = [going([pods(RAY_PODS, cluster.namespaces.application)], names.HTTP_PORT)]
    if cluster.entrance.kind == "gateway-api":
        upstream.append(
            going(entrance(cluster))
        )  # of Ray's own Gateway, while an upgrade moves traffic by steps
    if collecting := collectors(cluster):
        upstream.append(going(collecting, *OTLP_PORTS))
    if config.litellm is not None and config.litellm.database is not None:
        upstream.append(going([addresses(cluster.network.vpc_cidr)], _POSTGRES_PORT))
    upstream += outside(reach_of_litellm(config), cluster)
    return [
        *made,
        policy("litellm-clients", namespace, litellm, ingress=[coming(callers, names.LITELLM_PORT)]),
        policy("litellm-outside", namespace, litellm, egress=upstream),
    ]
