from typing import Any

import pytest

from cluster.lifecycle.readiness import readiness


def thing(kind: str, api_version: str, status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": api_version, "kind": kind, "metadata": {"name": "x", "generation": 2}, "spec": spec,
        "status": status or {},
    }  # fmt: skip


def conditions(kind: str, status: str, **more: Any) -> dict[str, Any]:
    return {"conditions": [{"type": kind, "status": status, "reason": "Because", "message": "so"} | more]}


WELL = {"observedGeneration": 2, "updatedReplicas": 3, "availableReplicas": 3}


@pytest.mark.parametrize(
    ("document", "waits_for"),
    [
        (thing("ConfigMap", "v1"), ""),
        (thing("Deployment", "apps/v1", WELL, replicas=3), ""),
        (thing("Deployment", "apps/v1", WELL | {"observedGeneration": 1}, replicas=3), "not seen the change"),
        (thing("Deployment", "apps/v1", WELL | {"updatedReplicas": 1}, replicas=3), "3 of 3 pods are available, 1 are"),
        (thing("Deployment", "apps/v1", {"observedGeneration": 2}), "0 of 1 pods"),
        (thing("Deployment", "apps/v1", {"observedGeneration": 2}, replicas=0), ""),
        (thing("StatefulSet", "apps/v1", WELL, replicas=3), ""),
        (
            thing("StatefulSet", "apps/v1", WELL | {"updatedReplicas": 0}, replicas=3,
                  updateStrategy={"type": "OnDelete"}),
            "",
        ),
        (
            thing("StatefulSet", "apps/v1", WELL | {"updatedReplicas": 1}, replicas=3,
                  updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}),
            "",
        ),
        (
            thing("DaemonSet", "apps/v1", {"observedGeneration": 2, "desiredNumberScheduled": 2, "numberAvailable": 2},
                  updateStrategy={"type": "OnDelete"}),
            "",
        ),
        (thing("DaemonSet", "apps/v1", {"observedGeneration": 2, "desiredNumberScheduled": 2}), "0 of 2"),
        (thing("Job", "batch/v1", conditions("Complete", "True")), ""),
        (thing("Job", "batch/v1"), "has not ended"),
        (thing("Service", "v1"), ""),
        (thing("Service", "v1", type="LoadBalancer"), "no address yet"),
        (thing("Ingress", "networking.k8s.io/v1", {"loadBalancer": {"ingress": [{"hostname": "x"}]}}), ""),
        (thing("Namespace", "v1", {"phase": "Terminating"}), "Terminating"),
        (thing("CustomResourceDefinition", "apiextensions.k8s.io/v1"), "not established"),
        (thing("ExternalSecret", "external-secrets.io/v1", conditions("Ready", "True")), ""),
        (
            thing("ExternalSecret", "external-secrets.io/v1", conditions("Ready", "False", reason="SecretSyncedError")),
            "Ready is False: SecretSyncedError: so",
        ),
        (
            thing("ExternalSecret", "external-secrets.io/v1",
                  conditions("Ready", "True") | {"syncedResourceVersion": "1-ab12"}),
            "not seen the change",
        ),
        (
            thing("ExternalSecret", "external-secrets.io/v1",
                  conditions("Ready", "True") | {"syncedResourceVersion": "2-ab12"}),
            "",
        ),
        (thing("NodePool", "karpenter.sh/v1"), "does its operator run"),
        (thing("NodePool", "karpenter.sh/v1", conditions("Ready", "True", observedGeneration=1)), "not seen"),
        (thing("Gateway", "gateway.networking.k8s.io/v1", conditions("Programmed", "True")), ""),
        (thing("HTTPRoute", "gateway.networking.k8s.io/v1"), "no Gateway has taken it up"),
        (
            thing("HTTPRoute", "gateway.networking.k8s.io/v1", {"parents": [{"conditions": [
                {"type": "Accepted", "status": "True"},
                {"type": "ResolvedRefs", "status": "False", "reason": "NoBackend"},
            ]}]}),
            "ResolvedRefs is False: NoBackend",
        ),
        (thing("OpenSearchCluster", "opensearch.org/v1", {"phase": "PENDING"}), "PENDING"),
    ],
)  # fmt: skip
def test_by_kind(document: dict[str, Any], waits_for: str) -> None:
    judged = readiness(document)
    assert judged.is_ready is (waits_for == "")
    assert waits_for in judged.waits_for
    assert not judged.is_final


@pytest.mark.parametrize(
    "document",
    [
        thing(
            "Deployment",
            "apps/v1",
            WELL | conditions("Progressing", "False", reason="ProgressDeadlineExceeded"),
        ),
        thing("Job", "batch/v1", conditions("Failed", "True")),
        thing("CustomResourceDefinition", "apiextensions.k8s.io/v1", conditions("NamesAccepted", "False")),
    ],
)
def test_what_does_not_get_ready_any_more(document: dict[str, Any]) -> None:
    assert readiness(document).is_final


def test_what_is_being_deleted_is_not_ready() -> None:
    document = thing("ConfigMap", "v1")
    document["metadata"]["deletionTimestamp"] = "now"
    assert readiness(document).waits_for == "it is being deleted"
