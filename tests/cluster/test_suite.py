"""The scenario suite against an application of its own, started and stopped by the one command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

pytestmark = pytest.mark.timeout(600)
PROFILE = "configs/bench.yaml"


def suite(repository: Path, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "manta", "bench", "suite", PROFILE, "--quick", "--out", str(folder)]
    return subprocess.Popen(
        [*command, *arguments],
        cwd=repository,
        env=os.environ | {"MANTA_HOME": str(folder / "home")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """Scenario -> what suite.json has of it."""
    (path,) = folder.glob("*-suite-bench/suite.json")
    scenarios = json.loads(path.read_text())["scenarios"]
    assert (path.parent / "report.html").stat().st_size > 10_000
    return {scenario["name"]: scenario for scenario in scenarios}


def objective(scenario: dict[str, Any], words: str) -> dict[str, Any]:
    (found,) = [one for one in scenario["objectives"] if words in one["text"]]
    assert isinstance(found, dict)
    return found


def applications_of(process: psutil.Process) -> list[psutil.Process]:
    return [child for child in process.children(recursive=True) if "up" in child.cmdline()]


def test_faults_under_load_from_start_to_report(repository: Path, tmp_path: Path) -> None:
    names = ("cold-start", "replica-killed")
    process = suite(
        repository, tmp_path, "--rate", "5", *(word for name in names for word in ("--only", name))
    )
    said, _ = process.communicate(timeout=500)
    # On a busy machine times may miss their objectives (1), or the client may be late itself (3).
    assert process.returncode in (0, 1, 3), said
    scenarios = read(tmp_path)
    assert tuple(scenarios) == names
    assert not [name for name, scenario in scenarios.items() if scenario["verdict"] == "not run"], said

    assert objective(scenarios["cold-start"], "no request fails")["is_met"], said
    killed = scenarios["replica-killed"]
    assert objective(killed, "a replica of Model-mock is killed")["is_met"], said
    assert objective(killed, "everything ends well again")["measured"] != "not before the end of the run", (
        said
    )


@pytest.mark.slow
def test_ctrl_c_keeps_what_there_is_and_stops_what_was_started(repository: Path, tmp_path: Path) -> None:
    process = suite(
        repository, tmp_path, "--rate", "5", "--only", "steady", "--only", "ramp", "--duration", "120"
    )
    give_up = time.monotonic() + 300
    while not list(tmp_path.glob("*/01-steady/records-0.jsonl")):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < give_up
        time.sleep(0.2)
    (application,) = applications_of(psutil.Process(process.pid))
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert not application.is_running()
    scenarios = read(tmp_path)
    assert scenarios["steady"]["problem"] == "interrupted before its end"
    assert scenarios["ramp"]["problem"] == "not run: interrupted"
