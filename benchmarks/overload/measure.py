"""Runs against one application: its capacity first, then each planned run into a folder of its own."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.errors import BenchmarkError
from benchmarks.overload.figures import Figures, figures_of, retry_after
from benchmarks.overload.plan import Dials, Part, PlannedRun, request, workload_of
from benchmarks.overload.probe import probing
from benchmarks.records import Record
from benchmarks.run.execute import Prepared, Run, RunOptions, execute
from benchmarks.run.progress import Progress
from benchmarks.scenarios.calibration import Pace, find_pace
from configs.workload import Objectives, Workload


class Interrupted(Exception):
    """Somebody pressed Ctrl-C during a run, which says nothing then."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One run: the figures of each of its parts, by name, and what the prober was told."""

    planned: PlannedRun
    parts: dict[str, Figures]
    retry_after: dict[str, Any]

    def record(self) -> dict[str, Any]:
        """As a line of records.jsonl."""
        planned = {"run": self.planned.name, "kind": self.planned.kind, "multiple": self.planned.multiple}
        parts = {name: asdict(figures) for name, figures in self.parts.items()}
        return {
            **planned,
            "repetition": self.planned.repetition,
            "parts": parts,
            "retry_after": self.retry_after,
        }


def pace_of(prepared: Prepared, num_slots: int, seconds: float, timeout_s: float) -> Pace:
    """How fast the application is with as many requests in flight as it has slots."""

    def measure(workload: Workload) -> Sequence[Record]:
        with TemporaryDirectory(prefix="manta-overload-") as folder:
            return execute(workload, prepared, Path(folder), _OPTIONS).records

    return find_pace(request(), num_slots, seconds, timeout_s, measure)


def measure(
    planned: PlannedRun,
    prepared: Prepared,
    capacity_rps: float,
    objectives: Objectives,
    dials: Dials,
    folder: Path,
) -> Measured:
    """Make a run, all its parts at the same time.

    Raises:
        Interrupted: it was not made to its end.
        BenchmarkError: a part could not be made.
    """
    stopping = threading.Event()

    def stop_when(_: Progress) -> str | None:
        return "the run was stopped" if stopping.is_set() else None

    def make(part: Part) -> Run:
        workload = workload_of(planned, part, capacity_rps, objectives, dials)
        target = replace(prepared.target, headers=(*prepared.target.headers, *part.headers))
        options = replace(_OPTIONS, stop_when=stop_when)
        place = folder / planned.name if len(planned.parts) == 1 else folder / planned.name / part.name
        return execute(workload, replace(prepared, target=target), place, options)

    with probing(prepared.target) as answers, ThreadPoolExecutor() as others:
        # The first part on this thread, which gets Ctrl-C.
        futures = [others.submit(make, part) for part in planned.parts[1:]]
        try:
            runs = [make(planned.parts[0])]
            if runs[0].was_interrupted:
                raise Interrupted
            runs += [future.result() for future in futures]
        finally:
            stopping.set()
    parts = {part.name: _figures(run) for part, run in zip(planned.parts, runs, strict=True)}
    return Measured(planned, parts, retry_after(answers))


# One worker process for each part: the load is small, and cores are few.
_OPTIONS = RunOptions(num_workers=1, keep_token_times=False)


def _figures(run: Run) -> Figures:
    window = run.summary.window
    records = [r for r in run.records if window.start_s * 1e9 <= r.intended_ns < window.end_s * 1e9]
    goodput_rps = run.summary.value("goodput")
    if goodput_rps is None:
        raise BenchmarkError(f"{run.workload.name} has no measured window")
    seconds = window.end_s - window.start_s
    return figures_of(records, goodput_rps, seconds, run.summary.certification.reasons)
