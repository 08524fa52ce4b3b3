"""`python -m benchmarks frontdoor`, briefly: each part from start to results, by its one command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

GATEWAY = Path(__file__).resolve().parents[2] / ".venv-gateway" / "bin" / "python"

# On each test: a mark of the module would be further away than the one that this tier's conftest adds.
patient = pytest.mark.timeout(900)
needs_redis = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="redis-server is not installed (Debian: redis-server)"
)


def benchmark(repository: Path, folder: Path, *arguments: str) -> dict[str, Any]:
    """The summaries of its parts, as one."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "frontdoor", *arguments, "--out", str(folder)],
        cwd=repository,
        env=os.environ | {"MANTA_HOME": str(folder / "home")},
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    found = [json.loads(path.read_text()) for path in folder.glob("*-frontdoor-*/summary.json")]
    assert found, done.stdout + done.stderr
    assert [one["did_not_start"] for one in found] == [[] for _ in found], done.stdout + done.stderr
    return {name: value for one in found for name, value in one.items()}


@patient
@pytest.mark.slow
@needs_redis
def test_a_door_is_measured_beside_no_door(repository: Path, tmp_path: Path) -> None:
    summary = benchmark(
        repository,
        tmp_path,
        *("--parts", "addition", "--stores", "redis", "--steps", "miss", "--pairs", "1"),
        *("--callers", "4", "--answers", "stream,json", "--duration", "4", "--warm-up", "1"),
    )
    assert {row["kind"] for row in summary["addition"]} == {"stream", "json"}
    for row in summary["addition"]:
        assert row["num_failed"] == 0
        assert row["with_p50_ms"] > 0  # beyond the engine's own time: it was asked, the cache had nothing


@patient
@pytest.mark.slow
@needs_redis
def test_replicas_keep_to_one_limit_and_tenants_share(repository: Path, tmp_path: Path) -> None:
    summary = benchmark(
        repository,
        tmp_path,
        *("--parts", "limits,shares", "--ingress-replicas", "2", "--limits-duration", "10"),
    )
    limits = {row["limit"]: row for row in summary["limits"]}
    assert limits.keys() == {"requests", "tokens"}
    for row in limits.values():
        assert row["num_refused"] > 0
        # How much less is for the benchmark to tell: where clients are starved they ask for less.
        assert 0 < row["taken"] <= 1.05 * row["allowed"]
    assert sum(row["share"] for row in summary["shares"]) == pytest.approx(1, abs=0.001)
    assert len(summary["replicas"]["requests_by_replica"]) == 2


@patient
@pytest.mark.slow
@needs_redis
def test_hits_of_both_kinds_are_what_they_are_called(repository: Path, tmp_path: Path) -> None:
    summary = benchmark(
        repository,
        tmp_path,
        *("--parts", "hits", "--stores", "redis", "--callers", "2", "--duration", "4", "--warm-up", "1"),
    )
    assert {(row["hit"], row["kind"]) for row in summary["hits"]} == {
        (hit, kind) for hit in ("exact", "semantic") for kind in ("stream", "json")
    }


@patient
@pytest.mark.slow
@pytest.mark.skipif(not GATEWAY.exists(), reason="LiteLLM is not installed: make .venv-gateway installs it")
def test_litellm_is_asked_through_and_past(repository: Path, tmp_path: Path) -> None:
    summary = benchmark(
        repository,
        tmp_path,
        *("--parts", "gateway", "--pairs", "1", "--callers", "2", "--duration", "4", "--warm-up", "1"),
    )
    for row in summary["gateway"]:
        assert row["num_failed"] == 0
        assert row["with_rps"] > 0
