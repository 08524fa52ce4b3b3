"""How the reference server starts, what it says where it cannot, and how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.reference_server.process import ReferenceServer, running
from benchmarks.reference_server.served import read_summaries


def test_the_ready_file_has_the_address(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    with running(ready_file=ready, log=tmp_path / "log.jsonl") as server:
        assert ready.read_text() == f"{server.url}\n"
        assert httpx.get(f"{server.url}/health").status_code == 200
    assert len(read_summaries(tmp_path / "log.jsonl")) == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"ttft_ms": -1}, "argument --ttft-ms: -1 is not between"),
        ({"no_such_flag": 1}, "unrecognized arguments: --no-such-flag=1"),
        ({"log": "/nowhere/log"}, "No such file or directory"),
        ({"ready_file": "/nowhere/ready"}, "No such file or directory"),
    ],
)
def test_a_server_that_cannot_start_says_why(flags: dict[str, object], message: str) -> None:
    with pytest.raises(BenchmarkError, match=message), running(**flags):  # type: ignore[arg-type]
        pass


def test_a_port_that_is_taken_is_said(server: ReferenceServer) -> None:
    port = httpx.URL(server.url).port
    assert port is not None
    with pytest.raises(BenchmarkError, match=f"port {port}: Address already in use"), running(port):
        pass


def test_a_server_that_died_is_an_error() -> None:
    with pytest.raises(BenchmarkError, match="failed"), running() as server:
        os.kill(server.process_id, signal.SIGKILL)


@pytest.mark.parametrize("processes", [1, 2])
def test_it_ends_with_its_standard_input(tmp_path: Path, processes: int) -> None:
    command = [sys.executable, "-m", "benchmarks.reference_server", "--stop-with-stdin"]
    command += [f"--processes={processes}", f"--log={tmp_path / 'log'}"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60)
    assert done.returncode == 1  # what cannot be waited for cannot end
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline().startswith(b"listening on http://127.0.0.1:")
        process.stdin.close()
        assert process.wait(timeout=60) == 0
        assert process.stdout.read().count(b"served 0 requests") == processes


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_well(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "benchmarks.reference_server"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(number)
        assert process.wait(timeout=60) == 0
        assert b"served 0 requests" in process.stdout.read()
