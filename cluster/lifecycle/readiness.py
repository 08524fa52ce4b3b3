"""Whether an object is what it should be, by what its controller says of it. Pure: reads a document.

A status that speaks of an older generation than the object's is not believed. RayServices are not judged here:
`kuberay.patience` does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kuberay.objects import at, condition, is_true

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Readiness:
    """`waits_for` is empty when it is ready; `is_final`: waiting longer does not help."""

    waits_for: str = ""
    is_final: bool = False

    @property
    def is_ready(self) -> bool:
        return not self.waits_for


READY = Readiness()


def readiness(document: Object) -> Readiness:
    """Whether the object is ready; what kinds without a rule need is to be there."""
    if at(document, "metadata", "deletionTimestamp"):
        return Readiness("it is being deleted")
    group = str(document.get("apiVersion", "")).rpartition("/")[0]
    rule = _RULES.get((group, str(document.get("kind"))))
    if rule is None:
        return READY
    return rule(document)


def _is_old(document: Object) -> bool:
    seen, wanted = at(document, "status", "observedGeneration"), at(document, "metadata", "generation")
    return wanted is not None and (seen or 0) < wanted


def _workload(document: Object) -> Readiness:
    """A Deployment or a StatefulSet."""
    if _is_old(document):
        return Readiness("its controller has not seen the change yet")
    progressing = condition(document, "Progressing")
    if progressing and progressing.get("reason") == "ProgressDeadlineExceeded":
        return Readiness(f"ProgressDeadlineExceeded: {progressing.get('message', '')}", is_final=True)
    failure = condition(document, "ReplicaFailure")
    if is_true(failure) and failure is not None:
        return Readiness(f"{failure.get('reason')}: {failure.get('message', '')}")
    wanted = at(document, "spec", "replicas")
    wanted = 1 if wanted is None else wanted
    updated = at(document, "status", "updatedReplicas") or 0
    available = at(document, "status", "availableReplicas") or 0
    if min(updated + _kept_back(document, wanted), available) < wanted:
        return Readiness(f"{available} of {wanted} pods are available, {updated} are of this version")
    return READY


def _kept_back(document: Object, wanted: int) -> int:
    """Pods that are to stay as they are: those below a partition, or, where that is the strategy, until somebody
    deletes them.
    """
    strategy = at(document, "spec", "updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return wanted
    return min(wanted, int(at(strategy, "rollingUpdate", "partition") or 0))


def _daemon_set(document: Object) -> Readiness:
    if _is_old(document):
        return Readiness("its controller has not seen the change yet")
    wanted = at(document, "status", "desiredNumberScheduled") or 0
    updated = (at(document, "status", "updatedNumberScheduled") or 0) + _kept_back(document, wanted)
    available = min(at(document, "status", "numberAvailable") or 0, updated)
    if available < wanted:
        return Readiness(f"{available} of {wanted} pods are available")
    return READY


def _job(document: Object) -> Readiness:
    failed = condition(document, "Failed")
    if is_true(failed) and failed is not None:
        return Readiness(f"{failed.get('reason')}: {failed.get('message', '')}", is_final=True)
    return READY if is_true(condition(document, "Complete")) else Readiness("it has not ended")


def _namespace(document: Object) -> Readiness:
    phase = at(document, "status", "phase")
    return READY if phase in (None, "Active") else Readiness(f"it is {phase}")


def _established(document: Object) -> Readiness:
    refused = condition(document, "NamesAccepted")
    if refused and refused.get("status") == "False":
        return Readiness(f"its names are taken: {refused.get('message', '')}", is_final=True)
    return READY if is_true(condition(document, "Established")) else Readiness("it is not established")


def _load_balancer(document: Object) -> Readiness:
    """An Ingress, or a Service of type LoadBalancer."""
    if document.get("kind") == "Service" and at(document, "spec", "type") != "LoadBalancer":
        return READY
    if at(document, "status", "loadBalancer", "ingress"):
        return READY
    return Readiness("it has no address yet; does its load balancer controller run?")


def _says(kind: str) -> Callable[[Object], Readiness]:
    """Ready when the condition of that type is True."""

    def rule(document: Object) -> Readiness:
        return _condition_of(document, kind)

    return rule


def _condition_of(document: Object, kind: str) -> Readiness:
    found = condition(document, kind)
    if found is None:
        return Readiness(f"nothing says {kind} of it yet; does its operator run?")
    wanted = at(document, "metadata", "generation")
    seen = found.get("observedGeneration")
    if seen is not None and wanted is not None and seen < wanted:
        return Readiness("its operator has not seen the change yet")
    if found.get("status") == "True":
        return READY
    return Readiness(
        f"{kind} is {found.get('status')}: {found.get('reason', '')}: {found.get('message', '')}".rstrip(": ")
    )


# `status.syncedResourceVersion`: the generation, then a hash of labels and annotations.
_SYNCED = re.compile(r"(\d+)-")


def _external_secret(document: Object) -> Readiness:
    seen = _SYNCED.match(str(at(document, "status", "syncedResourceVersion") or ""))
    judged = _condition_of(document, "Ready")
    if judged.is_ready and seen and int(seen[1]) < (at(document, "metadata", "generation") or 0):
        return Readiness("its operator has not seen the change yet")
    return judged


def _route(document: Object) -> Readiness:
    parents = at(document, "status", "parents") or ()
    if not parents:
        return Readiness("no Gateway has taken it up")
    for parent in parents:
        for kind in ("Accepted", "ResolvedRefs"):
            judged = _condition_of({"metadata": document["metadata"], "status": parent}, kind)
            if not judged.is_ready:
                return judged
    return READY


def _open_search(document: Object) -> Readiness:
    phase = at(document, "status", "phase")
    return READY if phase == "RUNNING" else Readiness(f"its phase is {phase or 'not known'}")


_RULES: dict[tuple[str, str], Callable[[Object], Readiness]] = {
    ("", "Namespace"): _namespace,
    ("", "Service"): _load_balancer,
    ("apps", "Deployment"): _workload,
    ("apps", "StatefulSet"): _workload,
    ("apps", "DaemonSet"): _daemon_set,
    ("batch", "Job"): _job,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _established,
    ("networking.k8s.io", "Ingress"): _load_balancer,
    ("external-secrets.io", "ExternalSecret"): _external_secret,
    ("external-secrets.io", "SecretStore"): _says("Ready"),
    ("external-secrets.io", "ClusterSecretStore"): _says("Ready"),
    ("karpenter.sh", "NodePool"): _says("Ready"),
    ("karpenter.k8s.aws", "EC2NodeClass"): _says("Ready"),
    ("eks.amazonaws.com", "NodeClass"): _says("Ready"),
    ("gateway.networking.k8s.io", "Gateway"): _says("Programmed"),
    ("gateway.networking.k8s.io", "HTTPRoute"): _route,
    ("keda.sh", "ScaledObject"): _says("Ready"),
    ("kagent.dev", "Agent"): _says("Accepted"),
    ("kagent.dev", "ModelConfig"): _says("Accepted"),
    ("opensearch.org", "OpenSearchCluster"): _open_search,
    ("opensearch.opster.io", "OpenSearchCluster"): _open_search,
}
