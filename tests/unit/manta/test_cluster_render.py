"""`manta cluster plan` and `render` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from manta.commands.cluster.plan import command as plan
from manta.commands.cluster.render import command as render

ROOT = Path(__file__).resolve().parents[3]
GPU = str(ROOT / "configs" / "eks-gpu.yaml")


def test_the_plan_is_a_table_that_a_person_can_check() -> None:
    done = CliRunner().invoke(plan, [GPU, "--misfits"], standalone_mode=False)
    assert done.exception is None
    for told in ("model-qwen3-8b", "g6e.xlarge (1)", "total", "05-application", "L-DB2E81BA", "not counted"):
        assert told in done.output
    assert "device memory: 32 GiB needed, 20.56 GiB there, short by 11.44 GiB" in done.output


def test_the_plan_is_json_for_programs() -> None:
    done = CliRunner().invoke(plan, [GPU, "--json"], standalone_mode=False)
    document = json.loads(done.output)
    assert document["total"]["maximum"]["on_demand"] > document["total"]["minimum"]["on_demand"]
    assert {group["name"] for group in document["groups"]} >= {"ingress", "embedder", "model-qwen3-8b"}


@pytest.mark.usefixtures("capsys")
def test_a_tree_is_written_and_compared(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    assert CliRunner().invoke(render, [GPU, "--out", str(folder)], standalone_mode=False).return_value == 0
    check = [GPU, "--out", str(folder), "--check"]
    assert CliRunner().invoke(render, check, standalone_mode=False).return_value == 0
    (folder / "05-application" / "ray-service.yaml").write_text("kind: Surprise\n")
    assert CliRunner().invoke(render, check, standalone_mode=False).return_value == 1
