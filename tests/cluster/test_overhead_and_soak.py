"""The benchmarks of the path and of what grows, each from start to results by its one command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# On each test: a mark of the module would be further away than the one that this tier's conftest adds.
patient = pytest.mark.timeout(900)


def benchmark(repository: Path, folder: Path, name: str, *arguments: str) -> tuple[dict[str, Any], Path]:
    """(summary.json, the results' folder)."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", name, *arguments, "--out", str(folder)],
        cwd=repository,
        env=os.environ | {"MANTA_HOME": str(folder / "home")},
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    found = list(folder.glob("*/summary.json"))
    assert found, done.stdout + done.stderr
    return json.loads(found[0].read_text()), found[0].parent


@patient
@pytest.mark.slow
def test_the_path_is_measured_beside_a_bare_server(repository: Path, tmp_path: Path) -> None:
    summary, folder = benchmark(
        repository,
        tmp_path,
        "overhead",
        *("--callers", "4", "--duration", "3", "--warm-up", "1", "--repetitions", "1"),
        *("--only", "plain"),
    )
    figures = summary["figures"]["plain 4"]
    assert figures["num_failed"] == 0
    assert figures["ratio"] > 0
    assert any(kind.startswith("replica") for kind in figures["cpu_ms"])
    records = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    assert [record["way"] for record in records].count("bare") == 1


@patient
@pytest.mark.slow
def test_a_slot_is_free_once_its_client_has_left(repository: Path, tmp_path: Path) -> None:
    summary, _ = benchmark(repository, tmp_path, "overhead", "--slots", "2", "--only", "channel")
    assert len(summary) == 2
    for measured in summary.values():
        assert {kind.partition(",")[0] for kind in measured["kinds"]} == {"ingress", "agent"}
        # A trial that waits for a slot that is lost fails after 15 s; how fast it is, is for the benchmark.
        assert all(figures["num"] == 2 for figures in measured["kinds"].values())


@patient
def test_a_minute_of_mixed_load_leaves_nothing_open(repository: Path, tmp_path: Path) -> None:
    arguments = ("--minutes", "1", "--rate", "8", "--callers", "8", "--every", "2", "--idle", "8")
    summary, folder = benchmark(repository, tmp_path, "soak", *arguments)
    assert summary["num_requests"] > 0
    assert summary["num_unexpected"] == 0, summary["unexpected"]
    assert summary["still_running"] == {}
    assert summary["not_given_back"] == {}
    assert summary["held_before"]["Ingress event_loop_tasks"] > 0
    own = [trend for trend in summary["trends"] if trend["is_ours"]]
    assert {"replica Ingress", "replica Agent", "replica Model-mock", "haproxy"} <= {t["kind"] for t in own}
    # Memory still settles in the first minute, and a few files are opened whenever they are first needed. Some 500
    # requests of ten kinds are asked, 28 at least of each: a kind that leaves one a request leaves more than ten.
    open_things = [trend for trend in own if trend["series"] in ("num_fds", "num_sockets")]
    assert not [trend for trend in open_things if trend["kept"] > 10]
    assert (folder / "load" / "summary.json").exists()
    assert (folder / "load" / "unexpected.jsonl").read_bytes() == b""
