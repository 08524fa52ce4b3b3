"""Where a run's steady state begins: what the server did while it was still warming up is left out.

A warm-up is a stretch at the very start of a run whose latencies differ from the run's second half. The run
is cut into equal bins by intended arrival, each with the median latency of its requests (a failed one is
slower than any). From the start on, bins are cut while they are off the level of the second half; the first
one that is on it, together with the two after it, ends the warm-up. Then a slope test judges the rest: only if
no trend is left in it (Mann and Kendall's test, and Theil and Sen's slope) has the run settled.

What this protects: a stall in mid-run is no warm-up and is never cut, however bad; a run that starts on its
level loses nothing; at most half a run is cut, as K. Hoad, S. Robinson and R. Davies recommend ("Automating
warm-up length estimation", Journal of the Operational Research Society 61, 2010): a run that would need more
was too short, or the server is over-saturated. A disturbance in the first second cannot be told from a cold
start; a workload that is about that says `warm_up_s: 0`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.metrics.base import RequestMetric
from benchmarks.metrics.e2e import E2E
from benchmarks.metrics.ttft import TTFT
from benchmarks.records import Record
from benchmarks.statistics.trend import Floats, mann_kendall_z, theil_sen_slope

MIN_BINS = 10
MAX_BINS = 60
MIN_BIN_S = 0.5
REQUESTS_PER_BIN = 5
# A bin is off the level when it is further from it than this share of it, and three of the second half's
# standard deviations (by their median absolute deviation).
LEVEL_TOLERANCE = 0.1
LEVEL_DEVIATIONS = 3.0
# A trend counts when chance makes it once in a hundred runs (two-sided), and it changes the level by this share.
TREND_Z = 2.58
TREND_TOLERANCE = 0.2


@dataclass(frozen=True, slots=True)
class SteadyState:
    """What the test found.

    Args:
        start_s: where the steady state begins; 0 where none was found, so that nothing is hidden.
        is_settled: None: too few requests to tell.
        reason: one line for the report.
    """

    start_s: float
    is_settled: bool | None
    reason: str


def steady_state(records: Sequence[Record], end_s: float) -> SteadyState:
    """Judge requests that arrived in [0, end_s), by ttft if most are streams, else by e2e."""
    metric = _metric(records)
    arrived = [record for record in records if metric.applies(record) and record.intended_ns < end_s * 1e9]
    num_bins = int(min(MAX_BINS, end_s / MIN_BIN_S, len(arrived) / REQUESTS_PER_BIN))
    if num_bins < MIN_BINS:
        return SteadyState(0.0, None, f"too few requests ({len(arrived)}) for a slope test: nothing is cut")
    medians, starts_s = _binned(arrived, metric, end_s, num_bins)
    level = float(np.median(medians[len(medians) // 2 :]))
    if not np.isfinite(level):
        return _unsettled(f"most requests of the second half have no {metric.name}")
    cut = _warm_up(medians)
    if cut is None:
        return _unsettled(f"{metric.name} does not reach its level within half of the run")
    rest = medians[cut:]
    z, change = mann_kendall_z(rest), theil_sen_slope(rest) * len(rest) / max(level, 1e-9)
    if abs(z) > TREND_Z and abs(change) > TREND_TOLERANCE:
        way = "rises" if change > 0 else "falls"
        return _unsettled(f"{metric.name} {way} by {abs(change):.0%} over the run (Mann-Kendall z {z:+.1f})")
    start_s = float(starts_s[cut])
    since = f"from {start_s:.1f} s on" if cut else "from the start"
    return SteadyState(start_s, is_settled=True, reason=f"{metric.name} is level {since}")


def _unsettled(reason: str) -> SteadyState:
    return SteadyState(0.0, is_settled=False, reason=f"never settled: {reason}; nothing is cut")


def _metric(records: Sequence[Record]) -> RequestMetric:
    num_streams = sum(record.is_stream for record in records)
    return TTFT if num_streams * 2 > len(records) else E2E


def _binned(
    records: Sequence[Record], metric: RequestMetric, end_s: float, num_bins: int
) -> tuple[Floats, Floats]:
    """(median of each bin that has requests, starts of these bins in s); a failed request is infinitely slow."""
    values = np.array([(*metric.values(record), np.inf)[0] for record in records])
    bins = np.array([record.intended_ns for record in records]) * num_bins // round(end_s * 1e9)
    present = np.unique(bins)
    medians = np.array([np.quantile(values[bins == number], 0.5, method="lower") for number in present])
    return medians, present * end_s / num_bins


def _warm_up(medians: Floats) -> int | None:
    """Bins to cut at the start; None: more than half."""
    half = len(medians) // 2
    reference = medians[half:]
    level = float(np.median(reference))
    deviation = 1.4826 * float(np.median(np.abs(reference - level)))
    off = np.abs(medians - level)
    limit = LEVEL_TOLERANCE * level + LEVEL_DEVIATIONS * deviation
    # A median of three has about 1 / sqrt(2) of the deviation of one.
    limit_of_three = LEVEL_TOLERANCE * level + LEVEL_DEVIATIONS * deviation / 2**0.5
    if off[0] <= limit:
        return 0
    for cut in range(1, half + 1):
        three = abs(float(np.median(medians[cut : cut + 3])) - level)
        if off[cut] <= limit and three <= limit_of_three:
            return cut
    return None
