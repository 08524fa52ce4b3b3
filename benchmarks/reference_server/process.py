"""Start a reference server for a test or a benchmark, and stop it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.errors import BenchmarkError

_READY_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 30.0
_ROOT = Path(__file__).resolve().parents[2]
_GREETING = "listening on "


class ReferenceServer:
    """A server that runs in processes of its own."""

    def __init__(self, process: subprocess.Popen[str], url: str, log_path: Path) -> None:
        self._process = process
        self.url = url
        self.log_path = log_path
        self.said = ""  # on standard output, once it has stopped

    @property
    def process_id(self) -> int:
        return self._process.pid

    def pause(self) -> None:
        """Stop all its processes where they are: the kernel goes on to take connections and bytes."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """Stop it for good; then its log is complete. Does nothing when it is stopped already.

        Raises:
            BenchmarkError: it had failed, or did not stop in time.
        """
        if self._process.returncode is not None:
            return
        if self._process.poll() is None:
            self._signal(signal.SIGCONT)
            self._process.terminate()
        try:
            said, errors = self._process.communicate(timeout=_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.communicate()
            raise BenchmarkError("the reference server did not stop when told to") from None
        self.said = said
        if self._process.returncode:
            raise BenchmarkError(f"the reference server failed: {errors.strip()}")

    def _signal(self, number: signal.Signals) -> None:
        os.killpg(self._process.pid, number)


@contextmanager
def running(port: int = 0, **flags: object) -> Iterator[ReferenceServer]:
    """A server that listens; it is stopped at the end, and when this process dies.

    Args:
        port: of loopback; 0 picks a free one.
        flags: as on the command line, with underscores: `ttft_ms=20`. Without `log` the log is in a
            temporary folder, which is deleted at the end; `stop()` and read it before.

    Raises:
        BenchmarkError: it did not start; the message has its last words.
    """
    with tempfile.TemporaryDirectory(prefix="reference-server-") as folder:
        log_path = Path(str(flags.pop("log", f"{folder}/log.jsonl"))).absolute()
        words = [f"--{name.replace('_', '-')}={value}" for name, value in flags.items()]
        words += [f"--port={port}", f"--log={log_path}", "--stop-with-stdin"]
        process = subprocess.Popen(  # noqa: S603 (our own command)
            [sys.executable, "-m", "benchmarks.reference_server", *words],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,  # so that one signal reaches all its processes, and Ctrl-C none
        )
        server = ReferenceServer(process, _wait_until_ready(process), log_path)
        try:
            yield server
        finally:
            server.stop()


def _wait_until_ready(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], _READY_TIMEOUT_S)
    line = process.stdout.readline() if readable else ""
    if line.startswith(_GREETING):
        return line.removeprefix(_GREETING).strip()
    process.kill()
    _, errors = process.communicate()
    last = errors.strip().rpartition("\n")[2] or f"it said nothing in {_READY_TIMEOUT_S:g} s"
    raise BenchmarkError(f"the reference server did not start: {last}")
