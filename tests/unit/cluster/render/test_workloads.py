"""What all Deployments of ours have in common, and that no object of any part holds a secret."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cluster.lint.schemas import Schemas
from cluster.lint.strict import misfits
from cluster.render import names
from cluster.render.families import FAMILIES
from cluster.render.workloads import Workload, deployment, from_secret, quantity_cpus, quantity_gib

OWN = {"litellm", "collector", "opensearch", "monitors", "alerts", "dashboards", "ingestion", "kagent"}


def objects(planned: Any) -> Iterator[dict[str, Any]]:
    for family in FAMILIES:
        if family.name in OWN:
            yield from family.objects(*planned)


@pytest.fixture
def whole(planned: Callable[..., Any]) -> Any:
    """A profile with all parts that have pods."""
    return planned("eks-gpu")


def deployments(planned: Any) -> list[dict[str, Any]]:
    return [one for one in objects(planned) if one["kind"] == "Deployment"]


def test_pods_meet_the_restricted_standard(whole: Any) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted"""
    assert {one["metadata"]["name"] for one in deployments(whole)} >= {
        "litellm",
        "otel-collector",
        "ingestion",
    }
    for one in deployments(whole):
        spec = one["spec"]["template"]["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not spec.get("hostNetwork")
        assert not spec["automountServiceAccountToken"]
        for container in (*spec.get("initContainers", ()), *spec["containers"]):
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["readOnlyRootFilesystem"] is True
            assert security["capabilities"] == {"drop": ["ALL"]}
        allowed = {"configMap", "emptyDir"}
        assert all(set(volume) - {"name"} <= allowed for volume in spec["volumes"])


def test_pods_are_consistent(whole: Any) -> None:
    for one in deployments(whole):
        template = one["spec"]["template"]
        spec = template["spec"]
        assert one["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
        volumes = {volume["name"] for volume in spec["volumes"]}
        for container in spec["containers"]:
            assert "@sha256:" in container["image"]
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
            ports = {port["name"] for port in container["ports"]}
            for name, probe in container.items():
                if name.endswith("Probe"):
                    assert probe["httpGet"]["port"] in ports
            assert container["resources"]["limits"]["memory"] == container["resources"]["requests"]["memory"]
        # The system pool's nodes, which nothing else may use.
        assert spec["nodeSelector"] == {names.ROLE_LABEL: "system"}
        assert names.role_toleration("system") in spec["tolerations"]
        for spread in spec["topologySpreadConstraints"]:
            chosen = spread["labelSelector"]["matchLabels"]
            assert chosen.items() <= template["metadata"]["labels"].items()


def test_config_maps_that_are_mounted_exist(whole: Any) -> None:
    made = {
        (one["metadata"]["namespace"], one["metadata"]["name"])
        for one in objects(whole)
        if one["kind"] == "ConfigMap"
    }
    for one in deployments(whole):
        for volume in one["spec"]["template"]["spec"]["volumes"]:
            if "configMap" in volume:
                assert (one["metadata"]["namespace"], volume["configMap"]["name"]) in made


def test_no_object_is_a_secret_or_holds_one(each: Any) -> None:
    variables = set(each.cluster.secrets)
    for one in objects(each):
        assert one["kind"] != "Secret"
        for container in one.get("spec", {}).get("template", {}).get("spec", {}).get("containers", ()):
            for variable in container["env"]:
                assert variable["name"] not in variables or "valueFrom" in variable
        # Keys as providers make them, and anything long and random.
        text = json.dumps(one)
        assert not re.search(r"\b(sk-|AKIA|ghp_)[A-Za-z0-9]{8,}", text)


def test_names_of_objects_are_unique(each: Any) -> None:
    found = [
        (one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in objects(each)
    ]
    assert len(found) == len(set(found))


def test_a_single_pod_can_still_be_drained(each: Any) -> None:
    for one in objects(each):
        if one["kind"] == "PodDisruptionBudget":
            assert one["spec"]["maxUnavailable"] == 1


def test_what_drains_has_time_for_it() -> None:
    workload = Workload(
        name="a", namespace="b", account="c", image="d", replicas=2, cpus=0.5, memory_gib=1.5, ports={"http": 80},
        command=["run"], env=[from_secret("KEY", "secret")], drain_s=15, grace_s=20,
    )  # fmt: skip
    spec = deployment(workload)["spec"]["template"]["spec"]
    assert spec["terminationGracePeriodSeconds"] == 35
    assert spec["containers"][0]["lifecycle"] == {"preStop": {"sleep": {"seconds": 15}}}
    assert spec["containers"][0]["env"][0]["valueFrom"] == {"secretKeyRef": {"name": "secret", "key": "KEY"}}


def test_quantities() -> None:
    assert [quantity_gib(gib) for gib in (1, 1.5, 0.25)] == ["1Gi", "1536Mi", "256Mi"]
    assert [quantity_cpus(cpus) for cpus in (2, 0.5)] == ["2", "500m"]


def test_every_object_is_one_that_the_api_server_takes(planned: Callable[..., Any]) -> None:
    """Strictly: unknown keys, types, required keys, and the CRDs' own rules in CEL."""
    schemas, unknown = Schemas(), set()
    for name in ("eks-graviton", "eks-gpu", "eks-neuron"):
        for one in objects(planned(name)):
            kind = schemas.kind(one["apiVersion"], one["kind"])
            if kind is None:
                unknown.add(one["apiVersion"])
                continue
            body = {key: value for key, value in one.items() if key not in ("apiVersion", "kind", "metadata")}
            wrong = [
                (misfit.path, misfit.message)
                for misfit in misfits(kind, body)
                if misfit.kind not in ("unknown-null", "unread-rule")
            ]
            assert not wrong, f"{one['kind']} {one['metadata']['name']}"
    assert unknown <= {"external-secrets.io/v1"}
