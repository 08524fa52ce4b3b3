"""One run of one tool against a fresh reference server, with a stall in the middle if asked.

The server's log is complete only when the server has stopped, so each run has a server of its own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.peers.base import Load, LoadTester, Reported, ToolFailed
from benchmarks.peers.cpus import pinned
from benchmarks.peers.truth import Stall, Truth, truth_of
from benchmarks.reference_server.process import ReferenceServer, running
from benchmarks.reference_server.served import ServerSummary, read_log, read_summaries

_LOOK_EVERY_S = 0.05


@dataclass(frozen=True, slots=True)
class Bench:
    """The server and the cores, the same for every run of an experiment.

    Args:
        server_cpus, client_cpus: cores; empty: any.
    """

    ttft_ms: float = 20.0
    tpot_ms: float = 5.0
    num_server_processes: int = 1
    server_cpus: tuple[int, ...] = ()
    client_cpus: tuple[int, ...] = ()

    @contextmanager
    def server(self, log: Path) -> Iterator[ReferenceServer]:
        """A running server on its cores."""
        with ExitStack() as stack:
            with pinned(self.server_cpus):
                server = stack.enter_context(
                    running(
                        log=log,
                        ttft_ms=self.ttft_ms,
                        tpot_ms=self.tpot_ms,
                        processes=self.num_server_processes,
                    )
                )
            yield server


@dataclass(frozen=True, slots=True)
class PlannedStall:
    """The server is to stop `at_s` after the first request that it read, for `for_s`."""

    at_s: float
    for_s: float


@dataclass(frozen=True, slots=True)
class Measured:
    """One run.

    Args:
        command: as it was run, with the machine's paths.
        reported: None: the tool failed; `failure` says how.
        truth: None: no request arrived.
        server: how the server itself did, for each of its processes.
    """

    tool: str
    load: Load
    command: list[str]
    folder: Path
    wall_s: float
    reported: Reported | None
    failure: str | None
    truth: Truth | None
    stall: Stall | None
    server: tuple[ServerSummary, ...]

    @property
    def server_late_p99_ms(self) -> float | None:
        """Of the worst server process."""
        return max((s.late_p99_ms for s in self.server if s.late_p99_ms is not None), default=None)

    @property
    def server_cpu(self) -> float | None:
        """The busiest server process's CPU time, as a share of the time in which requests arrived."""
        busiest = max((summary.cpu_s for summary in self.server), default=None)
        return None if busiest is None else busiest / self.load.duration_s


def measure(
    tool: LoadTester,
    load: Load,
    bench: Bench,
    folder: Path,
    timeout_s: float,
    planned: PlannedStall | None = None,
) -> Measured:
    """Run a tool once; what goes wrong with the tool is in the result.

    Raises:
        BenchmarkError: the server did not run.
    """
    folder.mkdir(parents=True)
    log = folder / "server.jsonl"
    reported, failure = None, None
    with bench.server(log) as server:
        command = tool.command(server.url, load, folder)
        started_s = time.perf_counter()
        with _stalling(server, planned) as staller:
            try:
                with pinned(bench.client_cpus):
                    reported = tool.run(server.url, load, folder, timeout_s)
            except ToolFailed as exc:
                failure = str(exc)
        wall_s = time.perf_counter() - started_s
        server.stop()
        served, summaries = read_log(log), tuple(read_summaries(log))
    stall = None if staller is None else staller.stall
    if planned is not None and stall is None and failure is None:
        failure = (
            f"it had ended before the server was to be stopped, {planned.at_s:g} s after its first request"
        )
    truth = truth_of(served, load, bench.ttft_ms, stall)
    return Measured(tool.name, load, command, folder, wall_s, reported, failure, truth, stall, summaries)


@contextmanager
def _stalling(server: ReferenceServer, planned: PlannedStall | None) -> Iterator[_Staller | None]:
    if planned is None:
        yield None
        return
    staller = _Staller(server, planned)
    staller.start()
    try:
        yield staller
    finally:
        staller.cancel()


class _Staller(threading.Thread):
    """Stops the server for a while, once requests have come for long enough."""

    def __init__(self, server: ReferenceServer, planned: PlannedStall) -> None:
        super().__init__(name="staller", daemon=True)
        self._server = server
        self._planned = planned
        self._is_cancelled = threading.Event()
        self._error: OSError | None = None
        self.stall: Stall | None = None

    def cancel(self) -> None:
        """The run is over. The server runs when this returns."""
        self._is_cancelled.set()
        self.join()
        if self._error is not None:
            raise BenchmarkError(f"the server could not be stopped: {self._error}") from self._error

    def run(self) -> None:
        first_ns = self._first_arrival_ns()
        if first_ns is None:
            return
        stop_ns = first_ns + round(self._planned.at_s * 1e9)
        if self._is_cancelled.wait(max(0.0, (stop_ns - time.perf_counter_ns()) / 1e9)):
            return
        try:
            stopped_ns = time.perf_counter_ns()
            self._server.pause()
            self._is_cancelled.wait(self._planned.for_s)
            self._server.resume()
            self.stall = Stall(stopped_ns, time.perf_counter_ns())
        except OSError as exc:
            self._error = exc

    def _first_arrival_ns(self) -> int | None:
        """The server writes its log as requests end, a second late at most; None: the run was over first."""
        while not self._is_cancelled.wait(_LOOK_EVERY_S):
            arrivals = [line.first_byte_ns for line in read_log(self._server.log_path) if line.is_stream]
            if arrivals:
                return min(arrivals)
        return None
