"""`manta up` ends when it is asked to, and whoever asks again does not wait; what it started ends with it.

The command is the real one. What it starts are plain processes instead of a Ray's: one that does not end when it is
asked to, and that one's child, which only its parent leads to.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

TIMEOUT_S = 120.0
LAUNCHER = """
import subprocess, sys, tempfile, threading
from pathlib import Path

import cluster.local
from manta.commands import up
from manta.main import main

cluster.local.END_TIMEOUT_S = float(sys.argv[1])
is_stuck = sys.argv[2] == "stuck"
CHILD = '''
import signal, subprocess, sys
signal.signal(signal.SIGTERM, lambda *_: print("asked", flush=True))
if len(sys.argv) > 2:  # the grandchild knows nothing of the folder
    subprocess.Popen([sys.executable, "-c", sys.argv[2]])
print("runs", flush=True)
while True:
    signal.pause()
'''


class Application(cluster.local.LocalApplication):
    def start(self, on_states=None):
        self._folder = Path(tempfile.mkdtemp(prefix="manta-"))
        subprocess.Popen([sys.executable, "-c", CHILD, str(self._folder), CHILD])
        print(self._folder, flush=True)

    def _stop_in_order(self):
        print("stopping", flush=True)
        if is_stuck:
            threading.Event().wait()


up.LocalApplication = Application
up.start = lambda application: application.start()
up._say_what_next = lambda *_: None
sys.argv = ["manta", "up", sys.argv[3]]
main()
"""


class Launched:
    """The command, and what it and its children have said; the end of that is the end of the last of them."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        folder, *_ = [line for line in self.read(3) if line.startswith("/")]
        self.folder = Path(folder)

    def read(self, num_lines: int) -> list[str]:
        assert self.process.stdout is not None
        return [self.process.stdout.readline().strip() for _ in range(num_lines)]

    def ask_to_end(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def code(self) -> int:
        """Returns when nothing is left."""
        self.process.communicate(timeout=TIMEOUT_S)
        assert not self.folder.exists()
        return self.process.returncode


@pytest.fixture
def launch(repository: Path) -> Iterator[Callable[..., Launched]]:
    started: list[subprocess.Popen[str]] = []

    def start(end_timeout_s: float, how: str) -> Launched:
        profile = str(repository / "tests/cluster/plain.yaml")
        command = [sys.executable, "-c", LAUNCHER, str(end_timeout_s), how, profile]
        started.append(
            subprocess.Popen(
                command, stdout=subprocess.PIPE, text=True, cwd=repository, start_new_session=True
            )
        )
        return Launched(started[-1])

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(TIMEOUT_S)
        assert process.stdout is not None
        process.stdout.close()


def test_one_signal_ends_it_in_order(launch: Callable[..., Launched]) -> None:
    launched = launch(0.2, "orderly")
    launched.ask_to_end()
    assert launched.read(1) == ["stopping"]
    assert launched.code() == 0


def test_a_second_signal_ends_its_processes_without_waiting_for_their_requests(
    launch: Callable[..., Launched],
) -> None:
    launched = launch(0.2, "stuck")
    launched.ask_to_end()
    assert launched.read(1) == ["stopping"]  # which never comes to an end by itself
    launched.ask_to_end()
    assert launched.code() == 130


def test_a_third_signal_waits_for_none_of_them(launch: Callable[..., Launched]) -> None:
    launched = launch(10 * TIMEOUT_S, "stuck")
    launched.ask_to_end()
    assert launched.read(1) == ["stopping"]
    launched.ask_to_end()
    assert launched.read(2) == ["asked", "asked"]  # and go on
    launched.ask_to_end()
    assert launched.code() == 130
