"""What a guarded command started ends with it."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

LEAVES_A_CHILD = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
print(child.pid, flush=True)
child.wait()
"""


@pytest.mark.parametrize("how", ["its input ends", "SIGTERM"])
def test_nothing_outlives_the_command(how: str) -> None:
    command = [sys.executable, "-m", "benchmarks.guard", sys.executable, "-c", LEAVES_A_CHILD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as guard:
        assert guard.stdout is not None
        assert guard.stdin is not None
        left = psutil.Process(int(guard.stdout.readline()))
        if how == "SIGTERM":
            guard.terminate()
        else:
            guard.stdin.close()
        assert guard.wait(timeout=60) != 0
    gone, _ = psutil.wait_procs([left], timeout=30)
    assert gone == [left]
