"""Whether what a process holds grows under a steady load: pure, from samples.

The start is left out: caches fill and pools open. The rest is cut into equal bins, each with the median of its
samples, so that neighbours are nearly independent, as Mann and Kendall's test wants them. A series grows if the
test finds a rise that chance makes once in two hundred runs, and if the rise is more than a tolerance: a few pages or
one file in an hour are nothing that anybody would ever notice. Falling is fine.

Besides, files and sockets that are open when the load is over must be those that were before it, within the same
tolerance. Memory and threads need not: allocators and thread pools keep what they had, up to a bound.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.soak.sampling import SERIES, Sample
from benchmarks.statistics.trend import mann_kendall_z, theil_sen_slope

WARM_UP_SHARE = 0.2
MAX_BINS = 24
MIN_BINS = 6
TREND_Z = 2.58
# Of the load's whole time. Memory has besides a share of its level: allocators round up.
TOLERANCES: Mapping[str, float] = {"pss_mib": 2.0, "num_fds": 2.0, "num_sockets": 2.0, "num_threads": 1.0}
MEMORY_SHARE = 0.01
MUST_COME_BACK = frozenset({"num_fds", "num_sockets"})


@dataclass(frozen=True, slots=True)
class Trend:
    """One series of one process.

    Args:
        level: its median under load, after the warm-up.
        growth: over that time, by Theil and Sen's slope.
        z: of Mann and Kendall's test.
        idle_before, idle_after: without load; None: not sampled.
        is_flat: None: too few samples to tell.
    """

    kind: str
    pid: int
    series: str
    level: float
    growth: float
    growth_per_hour: float
    z: float
    tolerance: float
    idle_before: float | None
    idle_after: float | None
    is_flat: bool | None

    @property
    def kept(self) -> float | None:
        """What was still held when the load was over."""
        if self.idle_before is None or self.idle_after is None:
            return None
        return round(self.idle_after - self.idle_before, 3)


def trends(samples: Sequence[Sample]) -> list[Trend]:
    """Every judged series of every process that lived through the whole load."""
    under_load = _after_warm_up([sample for sample in samples if sample.phase == "load"])
    if len(under_load) < 2:
        return []
    found = []
    for pid, kind in _survivors(under_load).items():
        for series in TOLERANCES:
            points = [(sample.at_s, _value(sample, pid, series)) for sample in under_load]
            known = [(at_s, value) for at_s, value in points if value is not None]
            idle = [_idle(samples, pid, series, phase) for phase in ("idle before", "idle after")]
            found.append(_trend(kind, pid, series, known, idle[0], idle[1]))
    return found


def changes(samples: Sequence[Sample]) -> list[str]:
    """Processes that came or went under load, one line each."""
    loaded = [sample for sample in samples if sample.phase == "load"]
    if not loaded:
        return []
    first, last = (
        {process.pid: process.kind for process in sample.processes} for sample in (loaded[0], loaded[-1])
    )
    gone = [f"{kind} ({pid}) ended" for pid, kind in first.items() if pid not in last]
    return gone + [f"{kind} ({pid}) started" for pid, kind in last.items() if pid not in first]


def _after_warm_up(loaded: Sequence[Sample]) -> list[Sample]:
    if not loaded:
        return []
    start_s, end_s = loaded[0].at_s, loaded[-1].at_s
    return [sample for sample in loaded if sample.at_s >= start_s + WARM_UP_SHARE * (end_s - start_s)]


def _survivors(loaded: Sequence[Sample]) -> dict[int, str]:
    """Process id -> kind."""
    last = {process.pid for process in loaded[-1].processes}
    return {process.pid: process.kind for process in loaded[0].processes if process.pid in last}


def _value(sample: Sample, pid: int, series: str) -> float | None:
    return next((SERIES[series](process) for process in sample.processes if process.pid == pid), None)


def _idle(samples: Sequence[Sample], pid: int, series: str, phase: str) -> float | None:
    """The last sample of the phase: connections of the load need a moment to close."""
    last = next((sample for sample in reversed(samples) if sample.phase == phase), None)
    return None if last is None else _value(last, pid, series)


def _trend(
    kind: str,
    pid: int,
    series: str,
    points: Sequence[tuple[float, float]],
    idle_before: float | None,
    idle_after: float | None,
) -> Trend:
    bins = _binned([value for _, value in points])
    level = statistics.median(value for _, value in points)
    tolerance = TOLERANCES[series]
    if series == "pss_mib":
        tolerance = max(tolerance, MEMORY_SHARE * level)
    growth = theil_sen_slope(bins) * (len(bins) - 1)
    z = mann_kendall_z(bins)
    span_s = points[-1][0] - points[0][0]
    is_flat: bool | None = None
    if len(bins) >= MIN_BINS:
        is_kept = idle_before is not None and idle_after is not None and idle_after - idle_before > tolerance
        is_flat = not (z > TREND_Z and growth > tolerance) and not (is_kept and series in MUST_COME_BACK)
    return Trend(
        kind=kind,
        pid=pid,
        series=series,
        level=round(level, 2),
        growth=round(growth, 3),
        growth_per_hour=round(growth / span_s * 3600, 3) if span_s > 0 else 0.0,
        z=round(z, 2),
        tolerance=round(tolerance, 3),
        idle_before=idle_before,
        idle_after=idle_after,
        is_flat=is_flat,
    )


def _binned(values: Sequence[float]) -> list[float]:
    num = min(MAX_BINS, len(values))
    return [float(np.median(part)) for part in np.array_split(np.asarray(values), num)]
