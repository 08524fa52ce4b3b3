"""The Kubernetes cluster: its version, the kinds and operators that a tree needs, secrets that it must have."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from cluster.lifecycle.operators import bringer
from cluster.preflight.findings import Finding, State
from cluster.preflight.references import secrets_needed
from cluster.render.names import KUBERAY_NAMESPACE
from kuberay.cluster import Cluster
from kuberay.errors import Refused
from kuberay.objects import Document, Ref, at

AREA = "cluster"
SECRETS = "secrets"
LEAST_KUBERNETES = (1, 32)  # sidecars, and CEL in CRDs as KubeRay 1.7 and Karpenter 1.14 use it
LEAST_KUBERAY = (1, 7)
# API group -> `app.kubernetes.io/name` of the Deployment that serves it, as its chart labels it; KubeRay's
# kustomization has another one than its chart.
DEPLOYMENTS: dict[str, tuple[str, ...]] = {
    "ray.io": ("kuberay-operator", "kuberay"),
    "karpenter.k8s.aws": ("karpenter",),
    "external-secrets.io": ("external-secrets",),
    "keda.sh": ("keda-operator",),
    "elbv2.k8s.aws": ("aws-load-balancer-controller",),
    "networking.k8s.io": ("aws-load-balancer-controller",),
}
AUTO_MODE = "eks.amazonaws.com"  # has its own load balancers, outside the cluster
_NUMBERS = re.compile(r"(\d+)\.(\d+)")


def check_cluster(cluster: Cluster, objects: Sequence[Document]) -> Iterator[Finding]:
    """Findings about a cluster that answers."""
    yield _version(cluster)
    yield from _kinds(cluster, objects)
    yield from _operators(cluster, objects)
    yield from _secrets(cluster, objects)


def _version(cluster: Cluster) -> Finding:
    text = cluster.version()
    found = _NUMBERS.search(text)
    is_old = found is not None and (int(found.group(1)), int(found.group(2))) < LEAST_KUBERNETES
    least = ".".join(map(str, LEAST_KUBERNETES))
    said = f"{text} at {cluster.address}"
    return Finding(
        AREA,
        "Kubernetes",
        "bad" if is_old else "ok",
        f"{said}; {least} or later is needed" if is_old else said,
    )


def _kinds(cluster: Cluster, objects: Sequence[Document]) -> Iterator[Finding]:
    groups: dict[str, set[str]] = {}
    for one in objects:
        if "." in one["apiVersion"].rpartition("/")[0]:
            groups.setdefault(one["apiVersion"], set()).add(one["kind"])
    for api_version, kinds in sorted(groups.items()):
        missing = sorted(kind for kind in kinds if not cluster.knows(api_version, kind))
        if missing:
            text = f"no {', '.join(missing)}: install {bringer(api_version)}"
            yield Finding(AREA, api_version, "bad", text)
        else:
            yield Finding(AREA, api_version, "ok", ", ".join(sorted(kinds)))


def _operators(cluster: Cluster, objects: Sequence[Document]) -> Iterator[Finding]:
    groups = {one["apiVersion"].rpartition("/")[0] for one in objects if one["kind"] != "NetworkPolicy"}
    if AUTO_MODE in groups:
        groups.discard("networking.k8s.io")
    wanted = dict.fromkeys(DEPLOYMENTS[group] for group in sorted(groups) if group in DEPLOYMENTS)
    for names in wanted:
        chosen = f"app.kubernetes.io/name in ({','.join(names)})"
        try:
            found = cluster.find("apps/v1", "Deployment", labels=chosen)
        except Refused as exc:
            yield Finding(AREA, names[0], "skipped", str(exc))
            continue
        yield _operator(names[0], found)
        if names[0] == "kuberay-operator" and any(one["kind"] == "NetworkPolicy" for one in objects):
            yield from _elsewhere(found)


def _elsewhere(deployments: list[Document]) -> Iterator[Finding]:
    """An operator whose requests the rules of the network would drop: nothing would ever serve, nor say why."""
    places = sorted({one["metadata"].get("namespace", "") for one in deployments})
    if places and KUBERAY_NAMESPACE not in places:
        text = f"runs in {', '.join(places)}; the NetworkPolicies let it reach Ray from {KUBERAY_NAMESPACE} alone"
        yield Finding(AREA, "kuberay-operator's namespace", "warn", text)


def _operator(name: str, deployments: list[Document]) -> Finding:
    if not deployments:
        return Finding(
            AREA, name, "bad", f"no Deployment labelled app.kubernetes.io/name={name} in any namespace"
        )
    available = [one for one in deployments if (at(one, "status", "availableReplicas") or 0) > 0]
    place = f"{deployments[0]['metadata'].get('namespace')}/{deployments[0]['metadata']['name']}"
    if not available:
        return Finding(AREA, name, "bad", f"{place} has no pod that is available")
    image = str(at(available[0], "spec", "template", "spec", "containers")[0].get("image", ""))
    state, said = _image_version(name, image)
    return Finding(AREA, name, state, f"{place} runs{said}")


def _image_version(name: str, image: str) -> tuple[State, str]:
    tag = image.partition("@")[0].rpartition(":")[2]
    found = _NUMBERS.search(tag)
    if found is None:
        return "ok", ""
    version = (int(found.group(1)), int(found.group(2)))
    if name == "kuberay-operator" and version < LEAST_KUBERAY:
        least = ".".join(map(str, LEAST_KUBERAY))
        return "bad", f" {tag}; the RayService is written for {least} or later"
    return "ok", f" {tag}"


def _secrets(cluster: Cluster, objects: Sequence[Document]) -> Iterator[Finding]:
    """Secrets that no ExternalSecret of the tree makes, and somebody else must have, with each key that is named."""
    for needed in secrets_needed(objects):
        subject = f"{needed.namespace}/{needed.name}"
        try:
            found = cluster.get(Ref("v1", "Secret", needed.namespace, needed.name))
        except Refused as exc:
            yield Finding(SECRETS, subject, "skipped", str(exc))
            continue
        missing = [] if found is None else sorted(set(needed.keys) - set(found.get("data") or ()))
        if found is None:
            yield Finding(SECRETS, subject, "bad", f"{needed.who} refers to it, and nothing makes it")
        elif missing:
            yield Finding(
                SECRETS, subject, "bad", f"{needed.who} refers to it, and it has no key {', '.join(missing)}"
            )
        else:
            yield Finding(SECRETS, subject, "ok", f"{needed.who} refers to it")
