"""One small case against real servers: that they do the same work and are told alike, not how fast."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from benchmarks.llamacpp_chat import run
from benchmarks.llamacpp_chat.judge import summarise
from benchmarks.llamacpp_chat.text import as_text
from configs.ports import free_port

pytest.importorskip("llama_cpp")

SMALL = ["--model", "tiny:F16", "--callers", "2", "--prompt-tokens", "48", "--output-tokens", "6"]
SMALL += ["--threads", "1", "--requests", "2", "--min-requests", "2", "--repeats", "1", "--no-shared"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MANTA_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.mark.usefixtures("home")
def test_the_engine_and_the_locked_one_do_the_same_work(tmp_path: Path) -> None:
    absent: dict[str, str] = {}
    arguments = run.parse_arguments([*SMALL, "--only", "engine,locked"])
    records: list[dict[str, Any]] = list(run.experiment(arguments, tmp_path / "runs", absent))
    assert absent == {}
    assert [record["subject"] for record in records] == ["engine", "locked"]
    for record in records:
        assert (record["num_requests"], record["num_failed"]) == (4, 0)
        assert record["num_output_tokens"] == 4 * 6
        assert all(1 <= num <= 6 for num in record["raw"]["num_pieces"])
        assert record["ttft_ms"]["p95"] >= record["ttft_ms"]["p50"] > 0
        assert sum(record["cpu_s"].values()) >= 0
    assert records[1]["raw"]["num_pieces"] == [6] * 4  # no usage in its streams: pieces are its tokens
    assert records[0]["read_ratio"] == pytest.approx(1.0, abs=0.05)  # a text's beginning is computed once
    summary = summarise(records)
    assert json.loads(json.dumps(summary)) == summary
    assert "2x48/6" not in as_text(summary)  # no bar is for two callers
    assert set(summary["figures"][0]["ratios"]) == {"locked"}


@pytest.mark.usefixtures("home")
def test_a_server_that_is_not_there_is_named_and_the_others_are_measured(tmp_path: Path) -> None:
    absent: dict[str, str] = {}
    words = [*SMALL, "--only", "llama-server,engine", "--llama-server", str(tmp_path / "none")]
    arguments = run.parse_arguments([*words, "--output-tokens", "2"])
    records = list(run.experiment(arguments, tmp_path / "runs", absent))
    assert [record["subject"] for record in records] == ["engine"]
    assert "make llama-server" in absent["llama-server"]


def test_a_guarded_server_ends_with_who_started_it() -> None:
    port = free_port()
    served = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    guard = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.guard", *served],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert guard.stdin is not None
    child = _child_that_answers(guard, f"http://127.0.0.1:{port}/")
    guard.stdin.close()
    guard.wait(timeout=20)
    assert not psutil.pid_exists(child.pid) or child.status() == psutil.STATUS_ZOMBIE


def _child_that_answers(guard: subprocess.Popen[bytes], url: str) -> psutil.Process:
    give_up_s = time.monotonic() + 20
    while time.monotonic() < give_up_s:
        try:
            httpx.get(url, trust_env=False)
        except httpx.TransportError:
            time.sleep(0.02)
            continue
        (child,) = psutil.Process(guard.pid).children()
        return child
    os.kill(guard.pid, signal.SIGTERM)
    raise AssertionError("it did not start")
