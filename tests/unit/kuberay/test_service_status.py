from typing import Any

import pytest

from kuberay.service_status import Phase, clusters_in_force, read_status


def condition(kind: str, status: str, reason: str = "Because", message: str = "so it is") -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": reason, "message": message}


READY = condition("Ready", "True", "NonZeroServeEndpoints")
NOT_UPGRADING = condition("UpgradeInProgress", "False", "NoPendingCluster")


def applications(status: str = "RUNNING", message: str = "", **deployments: str) -> dict[str, Any]:
    inner = {name: {"status": one} for name, one in (deployments or {"Ingress": "HEALTHY"}).items()}
    return {"manta": {"status": status, "message": message, "serveDeploymentStatuses": inner}}


def service(
    *conditions: dict[str, Any],
    active: dict[str, Any] | None = None,
    pending: dict[str, Any] | None = None,
    seen: int = 2,
    **metadata: Any,
) -> dict[str, Any]:
    status: dict[str, Any] = {
        "observedGeneration": seen,
        "conditions": list(conditions),
        "numServeEndpoints": 3,
    }
    if active is not None:
        status["activeServiceStatus"] = {"rayClusterName": "manta-a", "applicationStatuses": active}
    if pending is not None:
        status["pendingServiceStatus"] = {"rayClusterName": "manta-b", "applicationStatuses": pending}
    return {
        "metadata": {"name": "manta", "namespace": "here", "generation": 2} | metadata,
        "spec": {},
        "status": status,
    }


@pytest.mark.parametrize(
    ("document", "phase", "reason"),
    [
        ({"metadata": {"name": "manta", "generation": 1}}, Phase.UNSEEN, "is KubeRay running"),
        (service(condition("Ready", "False", "Initializing")), Phase.STARTING, "Initializing: so it is"),
        # The operator writes no new observedGeneration while it waits for the first pod.
        (service(condition("Ready", "False", "Initializing"), seen=0), Phase.STARTING, "Initializing"),
        (service(READY, NOT_UPGRADING, active=applications()), Phase.SERVING, ""),
        (service(READY, NOT_UPGRADING, active=applications(Ingress="UPSCALING")), Phase.SERVING, ""),
        (service(READY, NOT_UPGRADING, active=applications(), seen=1), Phase.UPGRADING, "has not acted"),
        (service(READY, NOT_UPGRADING, active={}), Phase.DEGRADED, "not known"),
        (service(READY, NOT_UPGRADING, active=applications("DEPLOYING")), Phase.DEGRADED, "is DEPLOYING"),
        (service(READY, NOT_UPGRADING, active=applications(Ingress="UNHEALTHY")), Phase.DEGRADED, "manta/Ingress"),
        (
            service(READY, condition("UpgradeInProgress", "True", "BothActivePendingClustersExist"),
                    active=applications(), pending=applications("DEPLOYING")),
            Phase.UPGRADING, "BothActivePendingClustersExist",
        ),
        (
            service(READY, condition("RollbackInProgress", "True", "TargetClusterChanged"), active=applications()),
            Phase.UPGRADING, "TargetClusterChanged",
        ),
        (
            service(READY, active=applications(), pending=applications("DEPLOY_FAILED", "boom")),
            Phase.FAILED, "application manta is DEPLOY_FAILED: boom",
        ),
        # What it goes back from has failed, and is there until the traffic has left it.
        (
            service(READY, condition("RollbackInProgress", "True", "TargetClusterChanged"),
                    active=applications(), pending=applications("DEPLOY_FAILED", "boom")),
            Phase.UPGRADING, "TargetClusterChanged",
        ),
        (service(condition("Ready", "False", "ValidationFailed", "bad name")), Phase.FAILED, "bad name"),
        (
            service(condition("Ready", "False", "InitializingTimeout", "30m")),
            Phase.FAILED, "30m; KubeRay has given it up: delete it, and apply it again",
        ),
        (service(condition("Suspended", "True", "SuspendComplete")), Phase.SUSPENDED, ""),
        (service(READY, deletionTimestamp="now", finalizers=["a/b"]), Phase.DELETING, "waits for a/b"),
    ],
)  # fmt: skip
def test_phases(document: dict[str, Any], phase: Phase, reason: str) -> None:
    status = read_status(document)
    assert status.phase is phase
    assert reason in status.reason


def test_everything_that_the_status_holds() -> None:
    document = service(READY, NOT_UPGRADING, active=applications(), pending={})
    document["status"]["activeServiceStatus"] |= {
        "trafficRoutedPercent": 70, "targetCapacity": 80,
        "rayClusterStatus": {"readyWorkerReplicas": 2, "desiredWorkerReplicas": 3},
    }  # fmt: skip
    status = read_status(document)
    assert (status.name, status.namespace, status.version, status.seen_version) == ("manta", "here", 2, 2)
    assert status.endpoints == 3
    assert status.active is not None
    assert (status.active.traffic_percent, status.active.capacity_percent) == (70, 80)
    assert (status.active.ready_workers, status.active.desired_workers) == (2, 3)
    assert status.pending is not None
    assert status.pending.name == "manta-b"
    assert status.pending.ready_workers is None


def test_whether_the_old_version_answers() -> None:
    upgrading = condition("UpgradeInProgress", "True", "BothActivePendingClustersExist")
    document = service(READY, upgrading, active=applications(), pending={})
    assert read_status(document).old_answers
    document["status"]["numServeEndpoints"] = 0
    assert not read_status(document).old_answers
    assert not read_status(service(READY, NOT_UPGRADING, active=applications())).old_answers


def test_of_a_traceback_the_error_is_told() -> None:
    text = "Deploying failed\nTraceback (most recent call last):\n  File x\nModuleNotFoundError: No module named 'y'\n"
    status = read_status(service(READY, active=applications("DEPLOY_FAILED", text)))
    assert status.reason == "application manta is DEPLOY_FAILED: ModuleNotFoundError: No module named 'y'"


def test_ray_clusters_in_force() -> None:
    assert clusters_in_force({"metadata": {"name": "manta"}}) == set()
    both = service(READY, active=applications(), pending={})
    assert clusters_in_force(both) == {"manta-a", "manta-b"}
    going_back = condition("RollbackInProgress", "True", "TargetClusterChanged")
    assert clusters_in_force(service(READY, going_back, active=applications(), pending={})) == {"manta-a"}
