"""The Kubernetes Job of docs/benchmarking.md: what it runs exists, and it is as careful as it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from manta.commands.bench.run import command


@pytest.fixture
def job(repository: Path) -> dict[str, Any]:
    text = (repository / "docs" / "manifests" / "bench-job.yaml").read_text()
    (found,) = [part for part in yaml.safe_load_all(text) if part["kind"] == "Job"]
    return dict(found)


def test_its_command_is_one_that_manta_takes(job: dict[str, Any]) -> None:
    container = job["spec"]["template"]["spec"]["containers"][0]
    assert container["command"] == ["manta", "bench", "run"]
    parsed = command.make_context("run", list(container["args"])).params
    assert parsed["workload"] == Path("/workload/workload.yaml")
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {"/workload", str(parsed["out"])} <= mounts
    assert parsed["api_key_env"] in {variable["name"] for variable in container["env"]}


def test_it_ends_is_unprivileged_and_keeps_off_what_it_measures(job: dict[str, Any]) -> None:
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert job["spec"]["backoffLimit"] == 0
    assert job["spec"]["activeDeadlineSeconds"] > 0
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert not container["securityContext"]["allowPrivilegeEscalation"]
    assert container["resources"]["requests"] == container["resources"]["limits"]
    assert "podAntiAffinity" in pod["affinity"]
    volumes = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes
