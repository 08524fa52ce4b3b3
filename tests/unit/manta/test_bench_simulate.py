"""`manta bench simulate` and `validate` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from benchmarks.errors import BenchmarkError
from configs.load import ProfileError
from manta.commands.bench import command as bench
from manta.commands.bench.simulate import command as simulate
from manta.commands.bench.validate import command as validate

SIMULATION = {
    "name": "small",
    "workload": "load.yaml",
    "stack": {"service": {"overhead_ms": 5, "step_ms": 20}, "replica_start_s": 5},
    "variants": [{"name": "slow", "changes": {"service": {"step_ms": 200}}}],
}


@pytest.fixture
def simulation(tmp_path: Path) -> Path:
    (tmp_path / "load.yaml").write_text("{duration_s: 10, objectives: {tpot_ms: 100}}")
    path = tmp_path / "simulation.yaml"
    path.write_text(yaml.safe_dump(SIMULATION))
    return path


def test_a_simulation_makes_a_table_and_a_folder_for_each_stack(simulation: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(simulate, [str(simulation), "--out", str(tmp_path / "results")])
    assert done.exception is None or done.exit_code == 0, done.exception
    (folder,) = (tmp_path / "results").iterdir()
    assert folder.name.endswith("-small")
    assert {path.name for path in folder.iterdir()} == {"base", "slow", "simulation.json"}
    base, slow = json.loads((folder / "simulation.json").read_text())["rows"]
    assert (base["attainment"], slow["attainment"]) == (1.0, 0.0)


def test_a_trace_can_be_elsewhere(simulation: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    lines = [{"at_s": at_s, "prompt_tokens": 10, "output_tokens": 3} for at_s in range(5)]
    trace.write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = CliRunner().invoke(
        simulate, [str(simulation), "--trace", str(trace), "--out", str(tmp_path / "results")]
    )
    assert done.exit_code == 0, done.exception
    (records,) = (tmp_path / "results").glob("*/base/records.jsonl")
    assert len(records.read_text().splitlines()) == 5


def test_what_cannot_be_read_is_told(simulation: Path) -> None:
    missing = CliRunner().invoke(simulate, [str(simulation.with_name("none.yaml"))])
    assert isinstance(missing.exception, ProfileError)
    unknown = CliRunner().invoke(validate, ["none.yaml"])
    assert isinstance(unknown.exception, (ProfileError, BenchmarkError))


@pytest.mark.parametrize("verb", ["simulate", "validate", "calibrate"])
def test_the_verbs_say_what_they_do(verb: str) -> None:
    done = CliRunner().invoke(bench, [verb, "--help"])
    assert done.exit_code == 0
    assert "--out" in done.output
