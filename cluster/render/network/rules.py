"""What rules of the network are made of: who (`pods`, `addresses`), through which ports, and the policy itself.

https://kubernetes.io/docs/concepts/services-networking/network-policies/
"""

from __future__ import annotations

from typing import Any

from cluster.render import names
from cluster.render.objects import Object, metadata

Peer = dict[str, Any]
Rule = dict[str, Any]
Selector = dict[str, Any]

EVERY_POD: Selector = {}
RAY_PODS: Selector = {"matchExpressions": [{"key": names.GROUP_LABEL, "operator": "Exists"}]}
HEAD_POD: Selector = {"matchLabels": {names.GROUP_LABEL: "head"}}
# What a Gateway's controller puts on the proxies that it starts: GEP-1762 of the Gateway API.
GATEWAY_NAME_LABEL = "gateway.networking.k8s.io/gateway-name"
GATEWAY_PROXIES: Selector = {"matchExpressions": [{"key": GATEWAY_NAME_LABEL, "operator": "Exists"}]}


def proxies_of(gateway: str) -> Selector:
    """The proxies of one Gateway."""
    return {"matchLabels": {GATEWAY_NAME_LABEL: gateway}}


def component(name: str) -> Selector:
    """The pods of one of our own parts."""
    return {"matchLabels": {names.PART_OF_LABEL: names.APP, names.COMPONENT_LABEL: name}}


def pods(selector: Selector, namespace: str | None = None) -> Peer:
    """Pods of a namespace; None: of the policy's own."""
    peer: Peer = {"podSelector": selector}
    if namespace is not None:
        # Kubernetes itself sets this label, and nobody can forge it.
        peer["namespaceSelector"] = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    return peer


def addresses(cidr: str, *excepted: str) -> Peer:
    """A range of addresses, without some of them."""
    return {"ipBlock": {"cidr": cidr} | ({"except": list(excepted)} if excepted else {})}


def coming(peers: list[Peer], *ports: int) -> Rule:
    """Into the pods, by TCP; no ports: by all."""
    return {"from": peers} | _through(ports)


def going(peers: list[Peer], *ports: int) -> Rule:
    """Out of the pods, by TCP; no ports: by all."""
    return {"to": peers} | _through(ports)


def _through(ports: tuple[int, ...]) -> Rule:
    return {"ports": [{"protocol": "TCP", "port": port} for port in ports]} if ports else {}


def policy(
    name: str,
    namespace: str,
    selector: Selector,
    *,
    ingress: list[Rule] | None = None,
    egress: list[Rule] | None = None,
) -> Object:
    """A NetworkPolicy. A direction that is None is not judged by it; with no rules in it nothing gets through."""
    spec: Object = {"podSelector": selector, "policyTypes": []}
    for direction, rules in (("Ingress", ingress), ("Egress", egress)):
        if rules is not None:
            spec["policyTypes"].append(direction)
            if rules:
                spec[direction.lower()] = rules
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(name, "network", namespace),
        "spec": spec,
    }
