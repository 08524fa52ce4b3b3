"""What becomes of a process that is really stopped: the kernel's timer, and the watch that ends it."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from serve_app.health.loop_watch import EXIT_CODE

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


WATCHED = """
import asyncio, sys
from serve_app.health import forgotten, loop_watch

forgotten.MIN_SILENCE_S = loop_watch._WAKE_UP_MARGIN_S = 0.5


async def main():
    watch = loop_watch.LoopWatch("Model-m", 60.0, 2.0, asyncio.get_running_loop())
    print("running", flush=True)
    while True:
        if sys.argv[1] == "asked":
            watch.asked()
        await asyncio.sleep(0.05)

asyncio.run(main())
"""


def watched(how: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WATCHED, how], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert heard(process) == "running"
    process.send_signal(signal.SIGSTOP)  # nobody but its own timer continues it
    return process


def test_one_that_nobody_asks_for_after_a_stop_ends_and_says_why() -> None:
    with watched("forgotten") as process:
        _, told = process.communicate(timeout=60)
    assert process.returncode == EXIT_CODE
    assert "manta: Model-m was stopped, and no controller has asked for its health" in told


def test_one_that_is_asked_again_goes_on() -> None:
    with watched("asked") as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.communicate(timeout=12)  # twice what the other takes
        process.kill()
