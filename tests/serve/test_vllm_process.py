"""vLLM's server as a process, with a stand-in for it: however its replica ends, nothing of it stays."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from serve_app.engines.vllm.process import ServerProcess

SERVER = (
    "import socket, sys, time; listening = socket.socket(socket.AF_UNIX); listening.bind(sys.argv[1]);"
    "print('it listens', flush=True); time.sleep(600)"
)


def started() -> ServerProcess:
    process = ServerProcess("tiny", Path(sys.executable), lambda line: None)
    process.start([sys.executable, "-c", SERVER, str(process.socket)], {})
    assert process.wait_until(process.socket.exists, 60.0)
    return process


def gone(path: Path) -> bool:
    give_up = time.monotonic() + 60
    while path.exists() and time.monotonic() < give_up:
        time.sleep(0.05)
    return not path.exists()


REPLICA = f"""
import sys, time
from pathlib import Path
from serve_app.engines.vllm.process import ServerProcess
process = ServerProcess("tiny", Path(sys.executable), lambda line: None)
process.start([sys.executable, "-c", {SERVER!r}, str(process.socket)], {{}})
process.wait_until(process.socket.exists, 60.0)
print(process.pid, process.socket, flush=True)
time.sleep(600)
"""


def test_a_replica_that_is_killed_leaves_no_process_and_no_folder() -> None:
    with subprocess.Popen([sys.executable, "-c", REPLICA], stdout=subprocess.PIPE, text=True) as replica:
        assert replica.stdout is not None
        pid, socket = replica.stdout.readline().split()
        family = [psutil.Process(int(pid)), *psutil.Process(int(pid)).children(recursive=True)]
        replica.kill()
    assert psutil.wait_procs(family, timeout=60)[1] == []
    assert gone(Path(socket).parent)


@pytest.mark.parametrize("ends_itself", [True, False])
def test_one_that_ends_leaves_no_folder(*, ends_itself: bool) -> None:
    process = started()
    if ends_itself:
        assert process.pid is not None
        psutil.Process(process.pid).children()[0].kill()
        assert gone(process.socket.parent)
        assert process.exit_status() != 0
    process.end()
    assert not process.socket.parent.exists()
    assert process.exit_status() is not None
