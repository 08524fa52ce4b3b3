import subprocess
from collections.abc import Sequence
from typing import Any

import pytest

from cluster.preflight.findings import Finding, is_fit
from cluster.preflight.images import Image, check_images, read_reference
from cluster.preflight.references import SecretNeeded, images_of, secrets_needed
from cluster.preflight.tools import check_tools, read_version

SAID = {
    "kubectl": "Client Version: v1.36.2\nKustomize Version: v5.5.0",
    "helm": "v3.12.1+gf32a527",
    "aws": "aws-cli/2.31.4 Python/3.13",
    "docker": "Docker, which does not say",
}


def run(command: Sequence[str]) -> str:
    return SAID[command[0].rpartition("/")[2]]


def test_tools_by_their_versions() -> None:
    found = {
        one.subject: one for one in check_tools(lambda name: f"/bin/{name}" if name in SAID else None, run)
    }
    assert (found["kubectl"].state, found["kubectl"].text) == ("ok", "1.36, /bin/kubectl")
    assert found["helm"].state == "bad"
    assert "3.12; installing operators wants 3.14 or later" in found["helm"].text
    assert found["aws"].state == "ok"
    assert found["terraform"].state == "warn"
    assert found["docker"].state == "warn"
    assert not is_fit(found.values())


def test_a_tool_that_does_not_run() -> None:
    def broken(command: Sequence[str]) -> str:
        raise subprocess.TimeoutExpired(command, 30)

    states = {one.subject: one.state for one in check_tools(lambda name: name, broken)}
    assert states == {"kubectl": "bad", "helm": "bad", "aws": "bad", "terraform": "warn", "docker": "warn"}


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("Terraform v1.9.8\non linux", (1, 9)),
        ("Docker version 27.3.1, build ce12230", (27, 3)),
        ("none", None),
    ],
)
def test_versions(text: str, version: tuple[int, int] | None) -> None:
    assert read_version(text) == version


DIGEST = "sha256:" + "a" * 64


def test_references() -> None:
    assert read_reference(f"r.example.com:5000/a/b:1@{DIGEST}") == Image("r.example.com:5000", "a/b", DIGEST)
    assert read_reference("r.example.com/a:1.2") == Image("r.example.com", "a", "1.2")
    assert read_reference("r.example.com/a") == Image("r.example.com", "a", "latest")
    assert read_reference("busybox") is None
    assert read_reference("library/busybox") is None


def test_images_that_cannot_be_asked_for() -> None:
    ecr = "111122223333.dkr.ecr.us-east-1.amazonaws.com/manta-cpu:1@" + DIGEST
    found = list(check_images([ecr, "busybox", ecr], clients=None))
    assert [one.state for one in found] == ["skipped", "bad"]
    assert "--no-aws" in found[0].text


def pod(**more: Any) -> dict[str, Any]:
    return {"containers": [{"name": "a", "image": "x/a"}]} | more


def test_images_and_secrets_of_objects_however_deep() -> None:
    environment = [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "made", "key": "a"}}}]
    optional = [{"secretRef": {"name": "perhaps", "optional": True}}]
    service = {
        "apiVersion": "ray.io/v1", "kind": "RayService", "metadata": {"name": "manta", "namespace": "n"},
        "spec": {"rayClusterConfig": {
            "headGroupSpec": {"template": {"spec": pod(
                initContainers=[{"name": "i", "image": "x/i", "env": environment, "envFrom": optional}],
                volumes=[{"name": "v", "secret": {"secretName": "tls", "items": [{"key": "tls.crt", "path": "a"}]}}],
                imagePullSecrets=[{"name": "pull"}],
            )}},
            "workerGroupSpecs": [{"template": {"spec": pod()}}],
        }},
    }  # fmt: skip
    external = {
        "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "metadata": {"name": "e", "namespace": "n"},
        "spec": {"target": {"name": "made"}},
    }  # fmt: skip
    elsewhere = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tls", "namespace": "other"}}
    assert images_of([service]) == ["x/i", "x/a"]
    assert secrets_needed([service, external, elsewhere]) == [
        SecretNeeded("n", "pull", "RayService manta"),
        SecretNeeded("n", "tls", "RayService manta", ("tls.crt",)),
    ]


def test_only_bad_is_bad() -> None:
    states = ("ok", "warn", "skipped")
    assert is_fit([Finding("a", "b", state, "") for state in states])  # type: ignore[arg-type]
