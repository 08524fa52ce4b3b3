"""The ingestion on Ray Data, with a Ray of its own: killed, gone on with, and its dead letters fed in again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

NUM_DOCUMENTS = 120
START_TIMEOUT_S = 280


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    args = {
        "home": str(tmp_path / "home"),
        "models": [{"name": "extractive", "engine": "extractive"}],
        "embedder": {"name": "embedder", "engine": "mock", "dim": 16, "ms_per_text": 40},
        "knowledge": {
            "store": {"kind": "lancedb"},
            "sources": [{"kind": "folder", "name": "docs", "path": str(tmp_path / "docs")}],
        },
        "agent": {"name": "manta", "models": ["extractive"]},
    }
    document = {"applications": [{"name": "manta", "import_path": "serve_app.app:build", "args": args}]}
    path = tmp_path / "profile.yaml"
    path.write_text(json.dumps(document))
    return path


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    for number in range(NUM_DOCUMENTS):
        (folder / f"{number:03}.txt").write_text(f"Ray {number} glides over reef {number}.")
    (folder / "broken.pdf").write_bytes(b"no pdf")
    return folder


def start(profile: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "serve_app.retrieval.ingest", "--profile", str(profile)]
    command += ["--address", "local", "--workers", "2", "--cpus-per-worker", "0.5"]
    command += ["--dead-letters", str(profile.with_name("dead.jsonl")), *words]
    # Ray Data needs pandas, which the other tests with a Ray do without.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with profile.with_name("errors").open("ab") as errors:
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=env, start_new_session=True
        )


def run(profile: Path, *words: str) -> tuple[int, dict[str, Any]]:
    """The exit code, and what was counted."""
    process = start(profile, *words)
    told, _ = process.communicate(timeout=START_TIMEOUT_S)
    lines = [line for line in told.splitlines() if line.startswith("{")]
    assert lines, profile.with_name("errors").read_text()[-2000:]
    return process.returncode, json.loads(lines[-1])


@pytest.mark.slow
def test_killed_gone_on_with_and_retried(profile: Path, documents: Path) -> None:
    first = start(profile)
    assert first.stdout is not None
    with first.stdout:
        for line in first.stdout:
            if " of " in line:  # some are stored
                break
    os.kill(first.pid, signal.SIGKILL)
    assert first.wait(60) == -signal.SIGKILL

    code, again = run(profile)
    assert code == 1  # the broken one
    assert again["num_added"] + again["num_unchanged"] == NUM_DOCUMENTS
    assert again["num_unchanged"] > 0
    assert (again["num_failed"], again["num_removed"]) == (1, 0)
    [letter] = profile.with_name("dead.jsonl").read_text().splitlines()
    assert json.loads(letter)["path"] == "broken.pdf"
    assert "PDF" in json.loads(letter)["reason"]

    (documents / "broken.pdf").unlink()
    (documents / "007.txt").unlink()
    (documents / "008.txt").write_text("Another text.")
    code, third = run(profile)
    assert (code, third["num_removed"], third["num_changed"]) == (0, 1, 1)
    assert (third["num_unchanged"], third["num_embedded"]) == (NUM_DOCUMENTS - 2, 1)

    code, retried = run(profile, "--retry", str(profile.with_name("dead.jsonl")))
    assert (code, retried["num_added"], retried["num_removed"]) == (0, 0, 0)
