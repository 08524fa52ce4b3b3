"""Percentiles in which nothing failed is dropped.

A request that should have a value and has none is worse than every value. A percentile that falls among
such requests is None: it is not known, and certainly not good. The percentiles of the values alone stand
beside it by a name that says so.

A percentile is told only where it is more than the extreme by another name: one sample must lie beyond p90,
p95 and p99 (10, 20, 100 samples), and ten beyond p99.9 (10,000 samples). Below that it is None, too.
"""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.metrics.base import Better
from benchmarks.statistics.histogram import Histogram, rank_of

# Percentile -> samples that it needs. Of the slow side, whichever side that is.
UPPER: Mapping[float, int] = {50: 1, 90: 10, 95: 20, 99: 100, 99.9: 10_000}
LOWER: Mapping[float, int] = {50: 1, 10: 10, 5: 20, 1: 100}


def percentiles(histogram: Histogram, num_without_value: int, better: Better) -> dict[str, float | None]:
    """Name ("p99") -> value, with those that have none ranked as worst.

    Args:
        better: "lower" puts those without a value above all others and tells p50 to p99.9; "higher" below
            all others, and tells p50 to p1.
    """
    total = histogram.num + num_without_value
    needed = UPPER if better == "lower" else LOWER
    num_below = 0 if better == "lower" else num_without_value
    found: dict[str, float | None] = {}
    for percentile, num_needed in needed.items():
        name = f"p{percentile:g}"
        found[name] = None
        if total >= num_needed:
            rank = rank_of(percentile, total) - num_below
            if 1 <= rank <= histogram.num:
                found[name] = histogram.value_at_rank(rank)
    return found
