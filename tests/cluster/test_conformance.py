"""The conformance suite's shortest real run: several raylets, a kill under load, and nothing left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

pytestmark = pytest.mark.timeout(600)
MARK = "MANTA_TEST_MARK"


def check(row: dict[str, Any], words: str) -> dict[str, Any]:
    (found,) = [one for one in row["checks"] if words in one["text"]]
    assert isinstance(found, dict)
    return found


def marked(mark: str) -> list[str]:
    """Names of running processes that inherited a mark from the command that was run."""
    found = []
    for process in psutil.process_iter(["name"]):
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.info["name"])
        except psutil.Error:
            continue
    return found


@pytest.mark.slow
def test_an_engine_is_killed_under_load_and_all_is_counted(repository: Path, tmp_path: Path) -> None:
    process = subprocess.run(
        [
            *(sys.executable, "-m", "manta", "conformance", "configs/faults.yaml"),
            *("--faults", "engine-killed", "--rate", "4", "--out", str(tmp_path / "results")),
        ],
        cwd=repository,
        env=os.environ | {MARK: tmp_path.name},
        capture_output=True,
        text=True,
        timeout=550,
        check=False,
    )
    said = process.stdout + process.stderr
    assert process.returncode in (0, 1), said  # 1: a busy machine may be slower than the row allows
    (path,) = (tmp_path / "results").glob("*-conformance/conformance.json")
    document = json.loads(path.read_text())
    (row,) = document["rows"]
    assert check(row, "is killed")["is_met"], said
    assert check(row, "no token comes twice")["is_met"], said
    assert row["counts"]["asked"] > row["counts"]["told"] + row["counts"]["broken"], said
    records = (path.parent / row["folder"] / "records.jsonl").read_text().splitlines()
    assert any(
        json.loads(line).get("text") in document["settings"]["expected_texts"].values() for line in records
    )
    assert "engine-killed" in (path.parent / "conformance.md").read_text()
    assert not marked(tmp_path.name), said
