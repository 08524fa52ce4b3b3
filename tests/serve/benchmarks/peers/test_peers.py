"""Other people's commands are bounded, and a run is measured against a real server that is really stopped."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import psutil
import pytest

from benchmarks.peers.base import Load, Reported, ToolFailed
from benchmarks.peers.commands import run_bounded
from benchmarks.peers.manta_tool import Manta
from benchmarks.peers.measure import Bench, PlannedStall, measure
from benchmarks.peers.truth import percentile
from benchmarks.run.prepare import prepare
from benchmarks.target import Target
from configs.workload import ChatRequest, Workload

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the reference server needs Linux")

BENCH = Bench(ttft_ms=5.0, tpot_ms=1.0)
LOAD = Load(rate_rps=40.0, num_requests=120, num_prompt_tokens=8, num_output_tokens=4)


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_what_a_command_says_is_returned(tmp_path: Path) -> None:
    assert run_bounded(python("print('1.2')"), tmp_path, 30.0) == "1.2\n"


def test_a_command_that_fails_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(ToolFailed, match=r"it ended with 3: no tokenizer$"):
        run_bounded(
            python("import sys; print('no tokenizer\\n---', file=sys.stderr); sys.exit(3)"), tmp_path, 30.0
        )


def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ToolFailed, match="nothing-like-it cannot be run"):
        run_bounded([str(tmp_path / "nothing-like-it")], tmp_path, 30.0)


def test_a_command_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    """The child leaves the session, so that only its parent leads to it."""
    child = "import os, time; os.setsid(); open('pid', 'w').write(str(os.getpid())); time.sleep(600)"
    code = (
        f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(600)"
    )
    with pytest.raises(ToolFailed, match="did not end within 12 s"):
        run_bounded(python(code), tmp_path, 12.0)  # two interpreters start in it, however busy the machine is
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


class Sender:
    """A tool that sends LOAD in a process of its own, each request in a thread, and reports nonsense."""

    name = "sender"
    version = "1"

    def command(self, url: str, load: Load, folder: Path) -> list[str]:
        body = {"model": "m", "stream": True, "max_tokens": load.num_output_tokens}
        text = json.dumps(body | {"messages": [{"role": "user", "content": "hello"}]})
        code = f"""
import threading, time, urllib.request
def ask():
    urllib.request.urlopen(urllib.request.Request({url + "/v1/chat/completions"!r}, {text.encode()!r})).read()
start = time.perf_counter()
for k in range({load.num_requests}):
    time.sleep(max(0.0, start + k / {load.rate_rps} - time.perf_counter()))
    threading.Thread(target=ask).start()
"""
        return python(code)

    def run(self, url: str, load: Load, folder: Path, timeout_s: float) -> Reported:
        run_bounded(self.command(url, load, folder), folder, timeout_s)
        return Reported(1.0, 1.0, 1.0, load.num_requests, 0)


def test_a_stall_is_in_the_truth(tmp_path: Path) -> None:
    planned = PlannedStall(at_s=1.5, for_s=0.8)
    run = measure(Sender(), LOAD, BENCH, tmp_path / "run", 60.0, planned)
    assert run.failure is None
    assert run.truth is not None
    assert run.stall is not None
    assert run.truth.num_arrived == LOAD.num_requests
    stalled_ms = (run.stall.resume_ns - run.stall.stop_ns) / 1e6
    assert stalled_ms >= 800
    # Those that were due in its first half waited for its second.
    assert percentile(run.truth.open_loop_ms, 99) == pytest.approx(stalled_ms, rel=0.2)
    assert run.truth.wait_ms.max() > stalled_ms / 2


def test_ours_reports_what_the_server_saw(tmp_path: Path) -> None:
    """Every request of the run, and none of the preparation, is in the log."""
    workload = Workload(requests=(ChatRequest(kind="chat", prompt_tokens=8, output_tokens=4),))
    with BENCH.server(tmp_path / "log.jsonl") as server:
        ours = Manta(prepare(workload, Target(server.url, model="reference")), 1)
    run = measure(ours, LOAD, BENCH, tmp_path / "run", 30.0)
    assert run.failure is None
    assert run.truth is not None
    assert run.reported is not None
    assert (run.truth.num_arrived, run.truth.num_beyond) == (LOAD.num_requests, 0)
    assert run.reported.num_completed == LOAD.num_requests
    assert len(run.reported.ttft_ms) == LOAD.num_requests
    assert run.reported.ttft_p50_ms is not None
    assert "dispatch_delay_p99_ms" in run.reported.further


def test_a_tool_that_ends_before_the_stall_is_told(tmp_path: Path) -> None:
    short = Load(rate_rps=40.0, num_requests=4, num_output_tokens=4)
    began = time.perf_counter()
    run = measure(Sender(), short, BENCH, tmp_path / "run", 60.0, PlannedStall(at_s=500.0, for_s=1.0))
    assert run.failure is not None
    assert "ended before the server was to be stopped" in run.failure
    assert time.perf_counter() - began < 60
