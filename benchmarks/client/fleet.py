"""The worker processes as the parent sees them: started together, watched, and ended within their bound.

Workers write their own files; the parent only reads them while they grow. So a slow parent never slows a
measurement down, and what a worker measured is on disk even when the worker or the parent dies.
"""

from __future__ import annotations

import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

import msgspec

from benchmarks.client.task import DONE, FAILED, READY, WorkerTask
from benchmarks.errors import BadTarget, BenchmarkError
from benchmarks.records import ClientSample

READY_TIMEOUT_S = 120.0  # the schedule of a long run takes a while to read
START_AFTER_S = 0.2  # from the last worker's "ready" to the common start
END_GRACE_S = 15.0  # after the last possible time-out, until a worker counts as hung


class Fleet:
    """Worker processes. Leaving the context ends those that still run."""

    def __init__(self, tasks: Sequence[WorkerTask]) -> None:
        self._tasks = tasks
        # Files, because a full pipe that nobody reads would stop a worker.
        self._complaints = [tempfile.TemporaryFile("w+") for _ in tasks]  # noqa: SIM115 (closed in __exit__)
        self._processes = [_spawn(complaint) for complaint in self._complaints]
        self._tails = [_Tail(Path(task.samples_path)) for task in tasks]
        self.start_ns = 0

    def start(self) -> int:
        """Have all workers ready, and start them at the same moment; returns it (monotonic ns).

        Raises:
            BadTarget: the host has no address.
            BenchmarkError: a worker did not become ready.
        """
        for process, task in zip(self._processes, self._tasks, strict=True):
            _tell(process, msgspec.json.encode(task).decode())
        for number, process in enumerate(self._processes):
            answer = _hear(process, READY_TIMEOUT_S)
            if answer.startswith(FAILED):
                raise BadTarget(answer.removeprefix(FAILED).strip())
            if answer != READY:
                raise BenchmarkError(f"worker {number} did not start: {self._last_words(number)}")
        self.start_ns = time.perf_counter_ns() + round(START_AFTER_S * 1e9)
        for process in self._processes:
            _tell(process, f"start {self.start_ns}")
        return self.start_ns

    @property
    def is_running(self) -> bool:
        return any(process.poll() is None for process in self._processes)

    def new_samples(self) -> list[ClientSample]:
        """The samples that were written since the last call."""
        return [sample for tail in self._tails for sample in tail.read()]

    def stop(self) -> None:
        """Ask the workers to end now; they write what they have."""
        for process in self._processes:
            if process.poll() is None:
                process.terminate()

    def faults(self) -> list[str]:
        """After the end: what went wrong with workers, a line each."""
        found = []
        for number, process in enumerate(self._processes):
            answer = _hear(process, 0.0)
            if answer.startswith(FAILED):
                found.append(f"worker {number}: {answer.removeprefix(FAILED).strip()}")
            elif answer != DONE:
                found.append(f"worker {number} ended with {process.poll()}: {self._last_words(number)}")
        return found

    def __enter__(self) -> Fleet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        for process in self._processes:
            try:
                process.wait(timeout=5.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            process.stdout.close()
        for complaint in self._complaints:
            complaint.close()

    def _last_words(self, number: int) -> str:
        if self._processes[number].poll() is None:
            return "it said nothing in time"
        self._complaints[number].seek(0)
        lines = self._complaints[number].read().strip().splitlines()
        return lines[-1] if lines else "it said nothing"


class _Tail:
    """A file that grows by whole lines."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._decoder = msgspec.json.Decoder(ClientSample)

    def read(self) -> Iterator[ClientSample]:
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            grown = file.read()
        whole = grown[: grown.rfind(b"\n") + 1]
        self._offset += len(whole)
        yield from self._decoder.decode_lines(whole)


def _spawn(complaints: IO[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603 (our own command)
        [sys.executable, "-m", "benchmarks.client.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=complaints,
        text=True,
        start_new_session=True,  # Ctrl-C is for the parent alone
    )


def _tell(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    try:
        process.stdin.write(line + "\n")
        process.stdin.flush()
    except BrokenPipeError:
        pass  # it is gone; what it said last is read where its answer is expected


def _hear(process: subprocess.Popen[str], timeout_s: float) -> str:
    """The next line that a worker says, or nothing."""
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], timeout_s)
    return process.stdout.readline().strip() if readable else ""
