from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from configs.load import ProfileError, read_simulation

SERVICE = {"overhead_ms": [5, 6, 9], "step_ms": 20}
STACK = {
    "service": SERVICE,
    "replica_start_s": 30,
    "scaling": {"max_replicas": 4, "target_ongoing_requests": 2},
}


def write(folder: Path, **changes: Any) -> Path:
    (folder / "load.yaml").write_text("name: load\n")
    path = folder / "simulation.yaml"
    path.write_text(yaml.safe_dump({"workload": "load.yaml", "stack": STACK} | changes))
    return path


def test_variants_differ_where_they_say(tmp_path: Path) -> None:
    variants = [
        {"name": "more", "changes": {"scaling": {"max_replicas": 8}, "rate_factor": 2}},
        {"name": "quick", "changes": {"scaling": {"autoscaler": {"upscale_delay_s": 1}}}},
    ]
    read = read_simulation(write(tmp_path, variants=variants))
    assert read.workload.name == "load"
    assert list(read.stacks) == ["base", "more", "quick"]
    more, quick = read.stacks["more"], read.stacks["quick"]
    assert (more.scaling.max_replicas, more.scaling.target_ongoing_requests, more.rate_factor) == (8, 2, 2)
    assert (quick.scaling.max_replicas, quick.scaling.autoscaler.upscale_delay_s) == (4, 1)
    assert read.stacks["base"].scaling.autoscaler.upscale_delay_s is None


def test_a_service_model_can_be_a_calibration(tmp_path: Path) -> None:
    (tmp_path / "calibration.json").write_text(json.dumps({"service": SERVICE, "fit": {}}))
    read = read_simulation(write(tmp_path, stack=STACK | {"service": "calibration.json"}))
    assert read.stacks["base"].service.step_ms == 20


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"stack": STACK | {"sevice": {}}}, r"stack\.sevice"),
        (
            {"variants": [{"name": "a", "changes": {"scaling": {"max": 1}}}]},
            r"variant a: scaling\.max: Extra",
        ),
        ({"variants": [{"name": "base", "changes": {}}]}, "'base' is there twice"),
        ({"workload": "none.yaml"}, r"none\.yaml: no such file"),
        ({"stack": STACK | {"service": "load.yaml"}}, "is not a calibration"),
        ({"stack": STACK | {"nodes": {"instance": "g6.xlarge"}}}, r"stack\.nodes\.max_nodes: Field required"),
    ],
)
def test_faults_name_the_key(tmp_path: Path, changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(ProfileError, match=fault):
        read_simulation(write(tmp_path, **changes))
