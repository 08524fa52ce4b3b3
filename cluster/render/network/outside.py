"""Where pods may go outside their own parts: to the servers that the profile names, and by HTTPS.

A policy knows addresses and no names, so a server of the VPC is opened by its port and the VPC's addresses.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from cluster.render import names
from cluster.render.network.endpoints import Endpoint, endpoints
from cluster.render.network.rules import EVERY_POD, Rule, addresses, going, pods
from configs.schema import ClusterConfig, PlatformConfig

_HTTPS_PORT = 443
# Where EKS Pod Identity's agent answers on every node, and nothing else of 169.254.0.0/16: least of all the instance's
# own metadata. https://docs.aws.amazon.com/eks/latest/userguide/pod-id-agent-setup.html
_POD_IDENTITY = "169.254.170.23/32"


def reach_of_ray(config: PlatformConfig) -> tuple[Endpoint, ...]:
    """The servers that the application's replicas ask, the extra ones of `cluster.network.egress` not among them."""
    return endpoints(config.model_copy(update={"cluster": None, "litellm": None}))


def reach_of_litellm(config: PlatformConfig) -> tuple[Endpoint, ...]:
    """The servers that the proxy asks: other providers and Redis; its Postgres is a secret, host and port."""
    return tuple(dict.fromkeys([*endpoints(config.litellm), *endpoints(config.door.redis)]))


def redis_of_head(cluster: ClusterConfig) -> list[Rule]:
    """The Redis that keeps the state of Ray's cluster: nobody but the head asks it."""
    return [to_the_vpc(cluster.gcs_redis.address, cluster)]


def to_the_vpc(address: str, cluster: ClusterConfig) -> Rule:
    """To a server by its `HOST:PORT`."""
    host, _, port = address.rpartition(":")
    return _rule(Endpoint(host, int(port)), cluster)


def outside(reach: Iterable[Endpoint], cluster: ClusterConfig) -> list[Rule]:
    """To those servers, to AWS's credentials, and by HTTPS to wherever `https_cidrs` allows."""
    rules = [_https(cluster), going([addresses(_POD_IDENTITY)], 80)]
    for rule in (_rule(one, cluster) for one in reach):
        if rule not in rules:
            rules.append(rule)
    return rules


def _rule(endpoint: Endpoint, cluster: ClusterConfig) -> Rule:
    namespace = endpoint.namespace(_known_namespaces(cluster))
    if namespace is not None:
        # All ports: a Service's may differ from those of its pods, which are what is judged.
        return going([pods(EVERY_POD, namespace)])
    if endpoint.port == _HTTPS_PORT:
        return _https(cluster)
    return going([addresses(_range_of(endpoint.host, cluster))], endpoint.port)


def _https(cluster: ClusterConfig) -> Rule:
    ranges = [cluster.network.vpc_cidr, *cluster.network.https_cidrs]
    return going([addresses(cidr) for cidr in dict.fromkeys(ranges)], _HTTPS_PORT)


def _known_namespaces(cluster: ClusterConfig) -> tuple[str, ...]:
    spaces = cluster.namespaces
    ours = (spaces.application, spaces.gateway, spaces.observability, spaces.knowledge)
    return (*ours, names.MONITORING_NAMESPACE)


def _range_of(host: str, cluster: ClusterConfig) -> str:
    try:
        return f"{ipaddress.IPv4Address(host)}/32"
    except ValueError:
        return cluster.network.vpc_cidr


def rules_of_egress(cluster: ClusterConfig) -> list[Rule]:
    """What `cluster.network.egress` adds for Ray's pods."""
    return [going([addresses(one.cidr)], one.port) for one in cluster.network.egress]
