"""What the application's processes hold, every few seconds: memory, file descriptors, sockets, threads.

Knows nothing of what is normal: `growth` judges.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
import psutil

from benchmarks.cpu import kind_of


class ProcessSample(msgspec.Struct, frozen=True):
    """One process at one moment. Memory in MiB; PSS counts shared pages once, in parts."""

    pid: int
    kind: str
    rss_mib: float
    pss_mib: float
    num_fds: int
    num_sockets: int
    num_threads: int
    cpu_s: float


class Sample(msgspec.Struct, frozen=True):
    """All processes of the application at one moment.

    Args:
        at_s: after the start of the sampling.
        phase: what was going on: "idle before", "load", "idle after".
    """

    at_s: float
    phase: str
    processes: list[ProcessSample]


class Sampler:
    """A thread that appends samples to a file. Leaving the context ends it."""

    def __init__(self, root_id: int, path: Path, every_s: float) -> None:
        self._root = psutil.Process(root_id)
        self._path = path
        self._every_s = every_s
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)
        self._began_s = time.monotonic()
        self._error: BaseException | None = None
        self.phase = "idle before"

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join()
        if self._error is not None and exc is None:
            raise self._error

    def _run(self) -> None:
        encoder = msgspec.json.Encoder()
        try:
            with self._path.open("ab") as lines:
                while True:
                    sample = Sample(
                        round(time.monotonic() - self._began_s, 2), self.phase, processes_below(self._root)
                    )
                    lines.write(encoder.encode(sample) + b"\n")
                    lines.flush()
                    if self._is_over.wait(self._every_s):
                        return
        except (OSError, psutil.Error) as exc:
            self._error = exc  # told by the thread that waits for this one


def processes_below(root: psutil.Process) -> list[ProcessSample]:
    """The root and what is below it; those that end meanwhile are left out."""
    found = (_sample(process) for process in (root, *root.children(recursive=True)))
    return [sample for sample in found if sample is not None]


def read_samples(path: Path) -> list[Sample]:
    """The samples of a file."""
    return list(msgspec.json.Decoder(Sample).decode_lines(path.read_bytes()))


def _sample(process: psutil.Process) -> ProcessSample | None:
    try:
        command = process.cmdline()
        memory = process.memory_full_info()
        times = process.cpu_times()
        return ProcessSample(
            pid=process.pid,
            kind=kind_of(command, process.name()),
            rss_mib=round(memory.rss / 2**20, 2),
            pss_mib=round(getattr(memory, "pss", memory.uss) / 2**20, 2),
            num_fds=process.num_fds(),
            num_sockets=_num_sockets(process.pid),
            num_threads=process.num_threads(),
            cpu_s=round(times.user + times.system, 2),
        )
    except (psutil.Error, FileNotFoundError, ProcessLookupError):
        return None


def _num_sockets(process_id: int) -> int:
    """Open sockets, of whatever family; cheaper than asking for their addresses."""
    num = 0
    for entry in Path(f"/proc/{process_id}/fd").iterdir():
        try:
            num += str(entry.readlink()).startswith("socket:")
        except FileNotFoundError:
            continue  # closed meanwhile
    return num


Series = Callable[[ProcessSample], float]
SERIES: dict[str, Series] = {
    "pss_mib": lambda process: process.pss_mib,
    "rss_mib": lambda process: process.rss_mib,
    "num_fds": lambda process: process.num_fds,
    "num_sockets": lambda process: process.num_sockets,
    "num_threads": lambda process: process.num_threads,
}


def as_json(sample: Sample) -> dict[str, Any]:
    """Plain JSON values."""
    document: dict[str, Any] = msgspec.to_builtins(sample)
    return document
