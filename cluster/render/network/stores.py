"""Rules for what keeps things: traces in the observability namespace, passages in OpenSearch's."""

from __future__ import annotations

from cluster.render import names
from cluster.render.namespaces import used
from cluster.render.network.callers import OTLP_PORTS, entrance, scrapers
from cluster.render.network.endpoints import endpoints
from cluster.render.network.outside import outside, to_the_vpc
from cluster.render.network.rules import (
    EVERY_POD,
    RAY_PODS,
    Peer,
    coming,
    component,
    going,
    pods,
    policy,
)
from cluster.render.objects import Object
from cluster.section import cluster_of
from configs.schema import ClusterConfig, PlatformConfig

_LANGFUSE_PORT = 3000
_OPENSEARCH_PORT = 9200
_OPENSEARCH_OPERATOR_NAMESPACE = "opensearch-operator-system"


def of_observability(config: PlatformConfig) -> list[Object]:
    """The collector and Langfuse talk among themselves; traces come in, and go on by HTTPS or to `otlp_url`."""
    cluster = cluster_of(config)
    namespace, parts = cluster.namespaces.observability, cluster.parts
    if namespace not in used(config):
        return []
    egress = outside(endpoints(parts.collector), cluster)
    made = [_inside(namespace)]
    if parts.langfuse is not None:
        stores = [parts.langfuse.postgres, parts.langfuse.redis]
        if (clickhouse := parts.langfuse.clickhouse) is not None:
            host = clickhouse.address.partition(":")[0]
            stores += [clickhouse.address, f"{host}:{clickhouse.native_port}"]
        egress += [to_the_vpc(address, cluster) for address in stores]
        readers = [*entrance(cluster), *_senders(cluster)]
        made.append(policy("langfuse", namespace, EVERY_POD, ingress=[coming(readers, _LANGFUSE_PORT)]))
    if parts.collector is not None:
        collector = component(names.COLLECTOR)
        made.append(policy("traces", namespace, collector, ingress=[coming(_senders(cluster), *OTLP_PORTS)]))
    if scraping := scrapers(cluster):
        made.append(policy("metrics", namespace, EVERY_POD, ingress=[coming(scraping)]))
    return [*made, policy("outside", namespace, EVERY_POD, egress=egress)]


def _senders(cluster: ClusterConfig) -> list[Peer]:
    """Whoever makes traces."""
    senders = [
        pods(selector, cluster.namespaces.application) for selector in (RAY_PODS, component(names.INGESTION))
    ]
    if cluster.parts.litellm is not None:
        senders.append(pods(component(names.LITELLM), cluster.namespaces.gateway))
    return senders


def of_knowledge(config: PlatformConfig) -> list[Object]:
    """OpenSearch's nodes talk among themselves; the application, ingestion and its operator ask them."""
    cluster = cluster_of(config)
    if cluster.parts.opensearch is None:
        return []
    namespace = cluster.namespaces.knowledge
    callers = [
        pods(RAY_PODS, cluster.namespaces.application),
        pods(component(names.INGESTION), cluster.namespaces.application),
        pods(EVERY_POD, _OPENSEARCH_OPERATOR_NAMESPACE),
        *scrapers(cluster),
    ]
    return [
        _inside(namespace),
        policy("requests", namespace, EVERY_POD, ingress=[coming(callers, _OPENSEARCH_PORT)]),
    ]


def _inside(namespace: str) -> Object:
    among = [pods(EVERY_POD)]
    return policy("inside", namespace, EVERY_POD, ingress=[coming(among)], egress=[going(among)])
