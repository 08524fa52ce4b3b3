"""vLLM's server as a process: started, watched until it answers, its last lines kept, ended with all its children.

Knows nothing of HTTP or of vLLM; `ready` is handed in.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

LAUNCHER = Path(__file__).with_name("launcher.py")
# For a server that was asked to end; its requests had their time before (Serve's graceful shutdown).
GRACE_S = 5.0
_KEPT_LINES = 400
_POLL_S = 0.2


class ServerProcess:
    """One server, on a Unix socket in a folder of its own. Starting it twice is no use: make another.

    Args:
        name: of the model, for the folder and the thread.
        python: runs the launcher.
        show: gets the server's output as it comes.
    """

    def __init__(self, name: str, python: Path, show: Callable[[bytes], object]) -> None:
        self._name = name
        self._python = python
        self._show = show
        # Short, because a socket's path has 107 bytes at most; private, because the socket lets everybody in.
        self._folder = Path(tempfile.mkdtemp(prefix="manta-vllm-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._reader: threading.Thread | None = None
        self._is_ended = False

    @property
    def socket(self) -> Path:
        return self._folder / "server.sock"

    @property
    def pid(self) -> int | None:
        """Of the launcher, which leads the group that all processes of the server are in."""
        return None if self._process is None else self._process.pid

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(  # noqa: S603 (the configuration's own command)
            [str(self._python), str(LAUNCHER), str(GRACE_S), str(self._folder), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            start_new_session=True,
        )
        assert self._process.stdout is not None
        output = self._process.stdout
        self._reader = threading.Thread(
            target=self._read, args=(output,), name=f"vllm-output-{self._name}", daemon=True
        )
        self._reader.start()

    def wait_until(self, is_ready: Callable[[], bool], timeout_s: float) -> bool:
        """True once `is_ready`; False if the process ended or the time is over before."""
        give_up = time.monotonic() + timeout_s
        while self.exit_status() is None and time.monotonic() < give_up:
            if is_ready():
                return True
            time.sleep(_POLL_S)
        return False

    def exit_status(self) -> int | None:
        """None: it runs."""
        assert self._process is not None
        return self._process.poll()

    def output(self) -> list[str]:
        """Its last lines; all of them once it has ended."""
        if self._reader is not None and self.exit_status() is not None:
            self._reader.join(timeout=GRACE_S)
        return list(self._lines)

    def end(self) -> None:
        """End it with all that it started, and take the folder away. Ending twice is fine."""
        shutil.rmtree(self._folder, ignore_errors=True)
        process = self._process
        if process is None or self._is_ended:
            return
        self._is_ended = True
        assert process.stdin is not None
        process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S + 1)
        self._kill_group(process)

    def _kill_group(self, process: subprocess.Popen[bytes]) -> None:
        """What the server started and did not end itself, such as an engine whose server was killed."""
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if self._reader is not None:
            self._reader.join(timeout=GRACE_S)

    def _read(self, output: BinaryIO) -> None:
        with output:
            for line in output:
                self._lines.append(line.decode("utf-8", "replace").rstrip())
                self._show(line)
