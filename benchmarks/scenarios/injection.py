"""A fault in its moment of a run: a thread that waits for it, and the run's end once all is well again.

The run's clock starts when its first request may leave, which only the run itself knows: it tells the
time with its progress, about once a second, and the thread counts on from there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.records import Outcome
from benchmarks.run.progress import Progress
from benchmarks.scenarios.faults import Fault, FaultFailed
from configs.workload import Objectives


@dataclass(frozen=True, slots=True)
class Injected:
    """What was done, in seconds of the run.

    Args:
        told: what the fault said of itself, or why it failed.
    """

    start_s: float
    end_s: float
    start_text: str
    told: str
    is_done: bool

    def events(self) -> dict[float, str]:
        """For the report: seconds after the run's start -> what happened then."""
        if self.end_s - self.start_s < 1.0:
            return {self.start_s: f"{self.start_text}: {self.told}"}
        return {self.start_s: self.start_text, self.end_s: self.told}


class Injection:
    """Injects one fault into one run. Hand `on_progress` and `stop_when` to the run's options.

    Args:
        fault: what to do.
        at_s: when, in seconds of the run.
        min_duration_s: the run goes on for so long at least, however quickly all is well again.
        settle_s: for which all must be well again before the run ends.
        objectives: what is well, beside an answer.
    """

    def __init__(
        self,
        fault: Fault,
        at_s: float,
        min_duration_s: float,
        settle_s: float,
        objectives: Objectives,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._fault = fault
        self._at_s = at_s
        self._min_duration_s = min_duration_s
        self._settle_s = settle_s
        self._objectives = objectives
        self._clock = clock
        self._run_start: float | None = None  # of the run, on the clock
        self._is_cancelled = threading.Event()
        self._thread = threading.Thread(target=self._work, name="fault", daemon=True)
        self.injected: Injected | None = None  # None: not done yet

    def on_progress(self, progress: Progress) -> None:
        if self._run_start is None:
            self._run_start = self._clock() - progress.at_s
            self._thread.start()

    def stop_when(self, progress: Progress) -> str | None:
        injected = self.injected
        if injected is None or progress.at_s < self._min_duration_s:
            return None
        if progress.at_s < injected.end_s + self._settle_s:
            return None
        since_s = progress.at_s - self._settle_s
        return "all is well again" if is_well(progress, since_s, self._objectives) else None

    def finish(self, timeout_s: float) -> Injected | None:
        """What was done once the run is over; None: it never came to it, or is still not over."""
        self._is_cancelled.set()
        if self._run_start is not None:
            self._thread.join(timeout_s)
        return self.injected

    def _work(self) -> None:
        assert self._run_start is not None
        if self._is_cancelled.wait(max(0.0, self._at_s - (self._clock() - self._run_start))):
            return
        start_s = self._clock() - self._run_start
        try:
            told, is_done = self._fault.inject(), True
        except FaultFailed as exc:
            told, is_done = str(exc), False
        end_s = self._clock() - self._run_start
        self.injected = Injected(start_s, end_s, self._fault.start_text, told, is_done)


def is_well(progress: Progress, since_s: float, objectives: Objectives) -> bool:
    """Whether requests ended since then, all of them well, and enough first tokens came in time."""
    samples = [sample for sample in progress.samples if sample.at_s > since_s]
    outcomes = {outcome for sample in samples for outcome in sample.num_outcomes}
    if not outcomes or outcomes - {Outcome.OK, Outcome.ABANDONED}:
        return False
    ttfts_ms = [ttft_ms for sample in samples for ttft_ms in sample.ttft_ms]
    if objectives.ttft_ms is None or not ttfts_ms:
        return True
    num_in_time = sum(ttft_ms <= objectives.ttft_ms for ttft_ms in ttfts_ms)
    return num_in_time >= objectives.attainment * len(ttfts_ms)
