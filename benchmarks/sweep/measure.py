"""A sweep: one open-loop run a rate, each with its own seed, with a pause in between.

What was measured is in the folder after every point: `sweep.json` and one folder a run. Ctrl-C ends the
sweep early and keeps that.

Knows nothing of how a run is made; that is the caller's `run_rate`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.errors import BenchmarkError
from benchmarks.sweep.points import Point
from benchmarks.sweep.result import Sweep, write_document
from benchmarks.sweep.search import SearchSettings, Stop, next_listed_rate, next_rate
from configs.workload import ConstantArrivals, GammaArrivals, PoissonArrivals, Workload

# One run of a workload, whose rate it has, into a folder that is not there yet.
RunRate = Callable[[Workload, Path], Point]

DURATION_S = 30.0
MAX_STRETCH = 4.0


@dataclass(frozen=True, slots=True)
class SweepSettings:
    """How a sweep is made.

    Args:
        search: how to look for the limits.
        rates_rps: run these instead of searching.
        duration_s: of each run's arrivals.
        min_requests: slow rates run longer, up to four times, to have so many: a share of 20 requests says
            little of an objective of 95 %.
        pause_s: between two runs; `recovery_s` after one in which the server fell behind.
    """

    search: SearchSettings = field(default_factory=SearchSettings)
    rates_rps: tuple[float, ...] = ()
    duration_s: float = DURATION_S
    min_requests: int = 200
    pause_s: float = 2.0
    recovery_s: float = 10.0

    def next_rate(self, points: Sequence[Point]) -> float | Stop:
        if self.rates_rps:
            return next_listed_rate(points, self.rates_rps)
        return next_rate(points, self.search)


def measure(
    workload: Workload,
    run_rate: RunRate,
    folder: Path,
    settings: SweepSettings | None = None,
    *,
    sleep: Callable[[float], None] = time.sleep,
    on_point: Callable[[Point], None] | None = None,
) -> Sweep:
    """Measure until the settings' question is answered, and write `folder`/sweep.json.

    Raises:
        BenchmarkError: the workload's arrivals have no one rate, or a run could not be made.
    """
    settings = settings or SweepSettings()
    rate_of(workload)  # refused before anything is written
    folder.mkdir(parents=True, exist_ok=True)
    said: dict[str, Any] = asdict(settings)
    points: list[Point] = []
    found = settings.next_rate(points)
    while not isinstance(found, Stop):
        asked = workload_at(found, len(points), workload, settings)
        try:
            points.append(run_rate(asked, folder / f"point-{len(points) + 1:02}-{found:g}rps"))
            write_document(folder, Sweep(tuple(points), Stop("still running", "running")), said)
            if on_point is not None:
                on_point(points[-1])
            found = settings.next_rate(points)
            if not isinstance(found, Stop):
                sleep(settings.recovery_s if points[-1].is_saturated else settings.pause_s)
        except KeyboardInterrupt:
            found = Stop("interrupted", "interrupted")
    sweep = Sweep(tuple(points), found)
    write_document(folder, sweep, said)
    return sweep


def workload_at(rate_rps: float, index: int, workload: Workload, settings: SweepSettings) -> Workload:
    """The workload of one point: its rate, a seed of its own, and long enough for its number of requests."""
    longest_s = MAX_STRETCH * settings.duration_s
    duration_s = min(max(settings.duration_s, settings.min_requests / rate_rps), longest_s)
    return workload.model_copy(
        update={
            "arrivals": _arrivals(workload).model_copy(update={"rate_rps": rate_rps}),
            "seed": derived_seed(workload.seed, index),
            "duration_s": duration_s,
        }
    )


def rate_of(workload: Workload) -> float:
    """Requests a second of its arrivals.

    Raises:
        BenchmarkError: they have no one rate.
    """
    return _arrivals(workload).rate_rps


def _arrivals(workload: Workload) -> ConstantArrivals | PoissonArrivals | GammaArrivals:
    arrivals = workload.arrivals
    if not isinstance(arrivals, (ConstantArrivals, PoissonArrivals, GammaArrivals)):
        raise BenchmarkError(
            f"a sweep needs arrivals with one rate (constant, poisson or gamma), not {arrivals.process}"
        )
    return arrivals


def derived_seed(seed: int, index: int) -> int:
    """Of the run with this index: a repeated rate meets another schedule."""
    return int(np.random.SeedSequence((seed, 2, index)).generate_state(1)[0])
