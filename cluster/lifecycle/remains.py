"""What is in the cluster that costs money, whoever made it: nodes, volumes, load balancers. Reads only."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from kuberay.cluster import Cluster
from kuberay.evidence import Reader
from kuberay.objects import Document, Ref, at, ref_of

KARPENTER = "karpenter.sh/v1"


@dataclass(frozen=True, slots=True)
class Remains:
    """One thing that is still there."""

    ref: Ref
    what: str
    usd_per_hour: float | None = None  # None: not known


@dataclass(frozen=True, slots=True)
class Found:
    """What is there; `not_read` says what we may not look at, which may cost as well."""

    remains: tuple[Remains, ...]
    not_read: tuple[str, ...]


def look(
    cluster: Cluster, namespaces: Collection[str], price_of: Callable[[str, str], float | None]
) -> Found:
    """Everything that costs: of the namespaces, and nodes that Karpenter bought.

    `price_of(instance_type, capacity)`: US dollars an hour, capacity `on-demand` or `spot`; None: not known.
    """
    reader = Reader(cluster)
    found = [
        *_nodes(reader, price_of),
        *(one for name in sorted(namespaces) for one in _load_balancers(reader, name)),
        *_volumes(reader, namespaces),
    ]
    return Found(tuple(found), tuple(reader.not_read))


def _nodes(reader: Reader, price_of: Callable[[str, str], float | None]) -> Iterator[Remains]:
    for claim in reader.find(KARPENTER, "NodeClaim"):
        labels = at(claim, "metadata", "labels") or {}
        instance = labels.get("node.kubernetes.io/instance-type", "an instance of unknown type")
        capacity = labels.get("karpenter.sh/capacity-type", "on-demand")
        pool = labels.get("karpenter.sh/nodepool", "?")
        yield Remains(
            ref_of(claim), f"node {instance}, {capacity}, of pool {pool}", price_of(instance, capacity)
        )


def _load_balancers(reader: Reader, namespace: str) -> Iterator[Remains]:
    for one in reader.find("v1", "Service", namespace):
        if at(one, "spec", "type") == "LoadBalancer":
            yield Remains(ref_of(one), f"load balancer {_address(one)}")
    for one in reader.find("networking.k8s.io/v1", "Ingress", namespace):
        yield Remains(ref_of(one), f"load balancer {_address(one)}")
    for one in reader.find("gateway.networking.k8s.io/v1", "Gateway", namespace):
        yield Remains(ref_of(one), "whatever its class makes for it, such as a load balancer")


def _volumes(reader: Reader, namespaces: Collection[str]) -> Iterator[Remains]:
    for one in reader.find("v1", "PersistentVolume"):
        claim = at(one, "spec", "claimRef") or {}
        if claim.get("namespace") not in namespaces:
            continue
        size = at(one, "spec", "capacity", "storage") or "unknown size"
        handle = at(one, "spec", "csi", "volumeHandle") or ""
        phase = at(one, "status", "phase") or "unknown"
        owner = f"{claim.get('namespace')}/{claim.get('name')}"
        said = f"volume {handle}".strip() + f" of {size}, {phase}, claimed by {owner}"
        if at(one, "spec", "persistentVolumeReclaimPolicy") == "Retain":
            said += "; it stays when its claim goes (Retain)"
        yield Remains(ref_of(one), said)


def _address(document: Document) -> str:
    for one in at(document, "status", "loadBalancer", "ingress") or ():
        return str(one.get("hostname") or one.get("ip") or "")
    return "without an address"
