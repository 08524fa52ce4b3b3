"""The kernel's timer, in a process that is really stopped."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux has timers that continue a process"
)

SCRIPT = """
import sys
from serve_app.health.wake_up import WakeUp

wake_up = WakeUp(float(sys.argv[1]))
for line in sys.stdin:
    if line == "postpone\\n":
        wake_up.postpone()
    if line == "close\\n":
        wake_up.close()
        wake_up.close()
        wake_up.postpone()
    print(line, end="", flush=True)
"""


@pytest.fixture
def process(request: pytest.FixtureRequest) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, str(request.param)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        yield started
        started.kill()


def say(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{word}\n")
    process.stdin.flush()


def heard(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


@pytest.mark.parametrize("process", [0.5], indirect=True)
def test_a_stopped_process_goes_on_by_itself(process: subprocess.Popen[str]) -> None:
    for word in ("postpone", "once", "again"):
        if word != "postpone":
            process.send_signal(signal.SIGSTOP)
        say(process, word)
        say(process, "postpone")
        assert [heard(process), heard(process)] == [word, "postpone"]


@pytest.mark.parametrize("process", [3600.5], indirect=True)
def test_it_may_be_closed_and_is_nothing_to_a_process_that_runs(process: subprocess.Popen[str]) -> None:
    for word in ("postpone", "close", "postpone", "still here"):
        say(process, word)
        assert heard(process) == word
