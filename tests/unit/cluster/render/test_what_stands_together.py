"""Whether what the families render separately fits together: pods into their namespaces, objects into roles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cluster.render.access import access
from cluster.render.accounts import accounts
from cluster.render.external_secrets import external_secrets
from cluster.render.families import FAMILIES
from cluster.render.namespaces import namespaces, used
from cluster.render.quotas import quotas

RESTRICTED_VOLUMES = {
    "configMap",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}


def _objects(each: Any) -> list[dict[str, Any]]:
    return [one for family in FAMILIES for one in family.objects(*each)]


def _pods(objects: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Namespace and spec of every pod that is rendered as a template."""
    for one in objects:
        namespace = one["metadata"].get("namespace")
        if one["kind"] == "RayService":
            cluster = one["spec"]["rayClusterConfig"]
            for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
                yield namespace, group["template"]["spec"]
        elif one["kind"] in ("Deployment", "StatefulSet"):
            yield namespace, one["spec"]["template"]["spec"]
        elif one["kind"] == "PodTemplate":
            yield namespace, one["template"]["spec"]


def test_pods_meet_what_their_namespace_enforces(each: Any) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted."""
    enforced = {
        one["metadata"]["name"]: one["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
        for one in namespaces(*each)
    }
    found = [spec for namespace, spec in _pods(_objects(each)) if enforced[namespace] == "restricted"]
    assert len(found) >= 3
    for spec in found:
        of_pod = spec["securityContext"]
        assert of_pod["runAsNonRoot"] is True
        assert of_pod["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        for container in [*spec["containers"], *spec.get("initContainers", ())]:
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False
            assert own["capabilities"]["drop"] == ["ALL"]
            assert "hostPort" not in {key for port in container.get("ports", ()) for key in port}
        for volume in spec.get("volumes", ()):
            assert set(volume) - {"name"} <= RESTRICTED_VOLUMES


def test_pods_run_under_accounts_that_are_there(each: Any) -> None:
    there = {(one["metadata"]["namespace"], one["metadata"]["name"]) for one in accounts(*each)}
    for namespace, spec in _pods(_objects(each)):
        if "serviceAccountName" in spec:
            assert (namespace, spec["serviceAccountName"]) in there


def test_pods_name_only_secrets_that_are_fetched(each: Any) -> None:
    fetched = {
        (one["metadata"]["namespace"], one["spec"]["target"]["name"]): {
            entry["secretKey"] for entry in one["spec"]["data"]
        }
        for one in external_secrets(*each)
        if one["kind"] == "ExternalSecret"
    }
    for namespace, spec in _pods(_objects(each)):
        for container in spec["containers"]:
            for variable in container.get("env", ()):
                reference = variable.get("valueFrom", {}).get("secretKeyRef")
                if reference is not None:
                    assert reference["key"] in fetched[namespace, reference["name"]], variable["name"]
            for source in container.get("envFrom", ()):
                assert (namespace, source["secretRef"]["name"]) in fetched


def test_no_container_is_larger_than_its_namespace_allows(each: Any) -> None:
    most = {
        one["metadata"]["namespace"]: int(one["spec"]["limits"][0]["max"]["memory"].removesuffix("Mi"))
        for one in quotas(*each)
        if one["kind"] == "LimitRange"
    }
    for namespace, spec in _pods(_objects(each)):
        for container in spec["containers"]:
            if namespace in most:
                assert _mebibytes(container["resources"]["limits"]["memory"]) <= most[namespace]


def _mebibytes(quantity: str) -> float:
    return float(quantity[:-2]) * {"Mi": 1, "Gi": 1024}[quantity[-2:]]


def test_an_operator_may_apply_every_wave_after_the_nodes(each: Any) -> None:
    granted = {
        (one["metadata"]["namespace"], group, resource)
        for one in access(*each)
        if one["kind"] == "Role" and one["metadata"]["name"] == "manta-operator"
        for rule in one["rules"]
        if {"create", "patch", "delete"} <= set(rule["verbs"])
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    ours = used(each.config)
    missing = set()
    for family in FAMILIES:
        if family.wave in ("01-foundation", "02-nodes"):
            continue
        for one in family.objects(*each):
            namespace = one["metadata"].get("namespace")
            group = one["apiVersion"].rpartition("/")[0]
            if namespace in ours and (namespace, group, _plural(one["kind"])) not in granted:
                missing.add((namespace, group, one["kind"]))
    assert missing == set()


def _plural(kind: str) -> str:
    name = kind.lower()
    return name[:-1] + "ies" if name.endswith("cy") else name + ("es" if name.endswith("ss") else "s")
