"""What a RayService's status says, in one word and one sentence. Pure: reads a document.

KubeRay (1.7) says it in conditions (`Ready`, `UpgradeInProgress`, `RollbackInProgress`, `Suspending`,
`Suspended`), in the state of Serve's applications on the active and on the pending RayCluster, and in
`observedGeneration`. None of these alone is "it serves": `Ready` means that some pod takes requests, which the old
version's pods do as well, and stays true while an application is unhealthy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from kuberay.objects import at, condition, is_true

# Reasons of `Ready: False` that no waiting mends (KubeRay v1.7.0, ray-operator/apis/ray/v1/rayservice_types.go).
# For ever, in the second case: the operator does not look at it again, whatever is applied.
_FINAL_REASONS = {
    "ValidationFailed": "",
    "InitializingTimeout": "; KubeRay has given it up: delete it, and apply it again",
}
# KubeRay's conditions of RayClusters have the kind's name before them; its RayServices' are spelt in both ways here.
_SUSPENDED = ("Suspending", "Suspended", "RayServiceSuspending", "RayServiceSuspended")
# A deployment that the autoscaler changes serves meanwhile (ray/serve/schema.py, DeploymentStatus).
_WELL_DEPLOYMENT = ("HEALTHY", "UPSCALING", "DOWNSCALING")


class Phase(StrEnum):
    """Where a RayService is."""

    UNSEEN = "unseen"  # no operator has looked at this version of it
    STARTING = "starting"  # nothing serves yet
    UPGRADING = "upgrading"  # one version serves, another comes up
    DEGRADED = "degraded"  # requests are taken, and not every application is well
    SERVING = "serving"
    FAILED = "failed"  # and will not mend itself
    SUSPENDED = "suspended"
    DELETING = "deleting"


@dataclass(frozen=True, slots=True)
class Application:
    """One of Serve's applications, or one of its deployments."""

    name: str  # `manta`, or `manta/Ingress` for a deployment
    status: str
    message: str
    is_deployment: bool = False

    @property
    def is_well(self) -> bool:
        return self.status in (_WELL_DEPLOYMENT if self.is_deployment else ("RUNNING",))

    def __str__(self) -> str:
        kind = "deployment" if self.is_deployment else "application"
        return f"{kind} {self.name} is {self.status}" + (f": {self.message}" if self.message else "")


@dataclass(frozen=True, slots=True)
class RayClusterStatus:
    """One of the (at most) two RayClusters of a RayService."""

    name: str
    applications: tuple[Application, ...]  # each followed by its deployments
    traffic_percent: int | None  # only while traffic moves by steps
    capacity_percent: int | None
    ready_workers: int | None
    desired_workers: int | None


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """A RayService's state. `version` is its generation: counts changes of what is wanted."""

    name: str
    namespace: str
    phase: Phase
    reason: str
    version: int
    seen_version: int
    endpoints: int
    active: RayClusterStatus | None
    pending: RayClusterStatus | None
    updated_at: str  # RFC 3339; empty: never

    @property
    def old_answers(self) -> bool:
        """Whether a version that is on its way out still takes requests."""
        return self.phase is Phase.UPGRADING and self.active is not None and self.endpoints > 0

    def __str__(self) -> str:
        return f"{self.phase}: {self.reason}" if self.reason else str(self.phase)


def read_status(document: Mapping[str, Any]) -> ServiceStatus:
    """The state that a RayService's document tells."""
    active, pending = (
        _cluster(at(document, "status", key)) for key in ("activeServiceStatus", "pendingServiceStatus")
    )
    version = int(at(document, "metadata", "generation") or 0)
    seen = int(at(document, "status", "observedGeneration") or 0)
    phase, reason = _phase(document, active, pending, is_seen=seen >= version)
    return ServiceStatus(
        name=str(at(document, "metadata", "name") or ""),
        namespace=str(at(document, "metadata", "namespace") or ""),
        phase=phase,
        reason=reason,
        version=version,
        seen_version=seen,
        endpoints=int(at(document, "status", "numServeEndpoints") or 0),
        active=active,
        pending=pending,
        updated_at=str(at(document, "status", "lastUpdateTime") or ""),
    )


def _phase(  # noqa: PLR0911 (one answer a case, the first that holds)
    document: Mapping[str, Any],
    active: RayClusterStatus | None,
    pending: RayClusterStatus | None,
    *,
    is_seen: bool,
) -> tuple[Phase, str]:
    ready = condition(document, "Ready") or {}
    said = f"{ready.get('reason', '')}: {ready.get('message', '')}".strip(": ")
    if at(document, "metadata", "deletionTimestamp"):
        return Phase.DELETING, _finalizers(document)
    if not at(document, "status", "conditions"):
        return (
            Phase.UNSEEN,
            "no operator has taken it up; is KubeRay running, and does it watch this namespace?",
        )
    if at(document, "spec", "suspend") or any(is_true(condition(document, kind)) for kind in _SUSPENDED):
        return Phase.SUSPENDED, "spec.suspend is set" if at(document, "spec", "suspend") else said
    if ready.get("reason") in _FINAL_REASONS:
        return Phase.FAILED, f"{said}{_FINAL_REASONS[ready['reason']]}"
    judged = active if _is_going_back(document) else pending or active
    if failed := [one for one in _applications(judged) if one.status == "DEPLOY_FAILED"]:
        return Phase.FAILED, "; ".join(map(str, failed))
    if not is_true(ready):
        # The operator writes no new observedGeneration while it waits for the first pod, so this comes first.
        return Phase.STARTING, said
    if not is_seen:
        return Phase.UPGRADING, "the operator has not acted on the last change yet"
    for kind in ("RollbackInProgress", "UpgradeInProgress"):
        if is_true(found := condition(document, kind)) and found is not None:
            return Phase.UPGRADING, f"{found.get('reason', '')}: {found.get('message', '')}".strip(": ")
    applications = [*_applications(active)]
    if not applications:
        return Phase.DEGRADED, "requests are taken, and Serve's applications are not known"
    if ill := [one for one in applications if not one.is_well]:
        return Phase.DEGRADED, "; ".join(map(str, ill))
    return Phase.SERVING, ""


def clusters_in_force(document: Mapping[str, Any]) -> set[str]:
    """Names of the RayClusters that serve, or are to serve; empty: the status names none yet.

    A RayCluster that was given up is there for as long as `rayClusterDeletionDelaySeconds` says, with all its troubles.
    """
    keys = (
        ["activeServiceStatus"]
        if _is_going_back(document)
        else ["activeServiceStatus", "pendingServiceStatus"]
    )
    return {name for key in keys if (name := at(document, "status", key, "rayClusterName"))}


def _is_going_back(document: Mapping[str, Any]) -> bool:
    """What KubeRay goes back from stays pending, with its failed applications, until the traffic has left it."""
    return is_true(condition(document, "RollbackInProgress"))


def _applications(cluster: RayClusterStatus | None) -> tuple[Application, ...]:
    return cluster.applications if cluster else ()


def _cluster(found: Mapping[str, Any] | None) -> RayClusterStatus | None:
    if not found or not found.get("rayClusterName"):
        return None
    return RayClusterStatus(
        name=found["rayClusterName"],
        applications=tuple(_read_applications(found.get("applicationStatuses") or {})),
        traffic_percent=found.get("trafficRoutedPercent"),
        capacity_percent=found.get("targetCapacity"),
        ready_workers=at(found, "rayClusterStatus", "readyWorkerReplicas"),
        desired_workers=at(found, "rayClusterStatus", "desiredWorkerReplicas"),
    )


def _read_applications(found: Mapping[str, Any]) -> Iterator[Application]:
    for name, one in sorted(found.items()):
        yield Application(name, one.get("status", ""), _line(one.get("message")))
        for inner, deployment in sorted((one.get("serveDeploymentStatuses") or {}).items()):
            yield Application(
                f"{name}/{inner}",
                deployment.get("status", ""),
                _line(deployment.get("message")),
                is_deployment=True,
            )


def _line(message: str | None) -> str:
    """Serve's messages hold whole tracebacks: the last line is the error."""
    lines = [line.strip() for line in (message or "").splitlines() if line.strip()]
    if not lines:
        return ""
    if any("Traceback" in line for line in lines):
        return lines[-1][:500]
    return " ".join(lines)[:500]


def _finalizers(document: Mapping[str, Any]) -> str:
    held = at(document, "metadata", "finalizers") or ()
    return f"waits for {', '.join(held)}" if held else ""
