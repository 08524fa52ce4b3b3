"""CI's own files: what runs there, on which machines, and with which rights."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import hcl2
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))
RUNNERS = {"linux/amd64": "ubuntu-24.04", "linux/arm64": "ubuntu-24.04-arm"}


def load(path: Path) -> dict[Any, Any]:
    document = yaml.safe_load(path.read_text())
    assert isinstance(document, dict)
    return document


def steps_of(document: dict[Any, Any]) -> list[dict[str, Any]]:
    return [step for job in document["jobs"].values() for step in job["steps"]]


@pytest.fixture(params=WORKFLOWS, ids=lambda path: path.name)
def path(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


def test_there_are_three() -> None:
    assert [path.name for path in WORKFLOWS] == ["ci.yaml", "images.yaml", "terraform.yaml"]


def test_actions_are_pinned_by_commit_and_say_their_version(path: Path) -> None:
    uses = re.findall(r"uses: (\S+)(.*)", path.read_text())
    assert uses
    for action, comment in uses:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), action


def test_nothing_may_more_than_it_needs(path: Path) -> None:
    document = load(path)
    assert document["permissions"] == {"contents": "read"}
    for job in document["jobs"].values():
        assert job["timeout-minutes"] <= 120
        assert set(job.get("permissions", {})) <= {"contents", "id-token"}
        assert job.get("permissions", {}).get("contents", "read") == "read"
    # `pull_request_target` would run a stranger's change with the repository's rights.
    assert set(document[True]) <= {"push", "pull_request"}  # YAML reads `on` as a boolean
    assert "secrets." not in path.read_text()
    for step in steps_of(document):
        if "checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False


def test_no_command_is_made_of_what_a_stranger_may_name(path: Path) -> None:
    for step in steps_of(load(path)):
        assert "${{" not in step.get("run", ""), "through `env`, where the shell quotes it"


def test_ci_runs_what_everybody_can_run() -> None:
    steps = steps_of(load(ROOT / ".github/workflows/ci.yaml"))
    assert [step["run"] for step in steps if "run" in step] == [
        ".ci/run",
        "make test-ragas",
        "make test-vllm",
    ]
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


def test_every_image_is_built_where_its_processor_is() -> None:
    images = load(ROOT / ".github/workflows/images.yaml")
    built = images["jobs"]["build"]["strategy"]["matrix"]["include"]
    on_both = {"cpu", "litellm"}
    assert {(one["image"], one["platform"]) for one in built} == {
        *((image, platform) for image in on_both for platform in RUNNERS),
        *((image, "linux/amd64") for image in ("vllm", "neuron", "neuron-native")),
    }
    assert all(one["runner"] == RUNNERS[one["platform"]] for one in built)
    assert set(images["jobs"]["join"]["strategy"]["matrix"]["image"]) == {one["image"] for one in built}


def test_what_is_pushed_is_pinned_listed_and_told_how_it_was_made() -> None:
    build = load(ROOT / ".github/workflows/images.yaml")["jobs"]["build"]["steps"]
    on_push = [step for step in build if step.get("if") == "github.event_name == 'push'"]
    commands = [step["run"] for step in on_push if "run" in step]
    assert commands[0] == "docker/pin_bases.sh --check"
    assert "--sbom=true --provenance=mode=max" in commands[1]
    assert "push-by-digest=true" in commands[1]
    (for_review,) = [step["run"] for step in build if step.get("if") == "github.event_name == 'pull_request'"]
    assert "push" not in for_review


def test_what_makes_an_image_starts_its_build() -> None:
    watched = load(ROOT / ".github/workflows/images.yaml")[True]["pull_request"]["paths"]
    for lock in ("cluster", "gateway", "build"):
        assert f"requirements-{lock}.lock" in watched
    assert {"docker/**", ".dockerignore"} <= set(watched)
    assert hcl2.loads((ROOT / "docker" / "bake.hcl").read_text())


def test_terraform_looks_at_each_of_its_roots() -> None:
    (job,) = load(ROOT / ".github/workflows/terraform.yaml")["jobs"].values()
    roots = {path.parent.name for path in (ROOT / "terraform").glob("*/versions.tf")}
    assert set(job["strategy"]["matrix"]["root"]) == roots
    assert [step["run"] for step in job["steps"] if "run" in step][-1] == "terraform validate"


def test_names_of_repositories_are_terraforms() -> None:
    """CI pushes to `manta-IMAGE`; Terraform makes the repositories."""
    variables = (ROOT / "terraform" / "cluster" / "images.tf").read_text()
    for image in ("cpu", "vllm", "neuron", "litellm"):
        assert f'"manta-{image}"' in variables
