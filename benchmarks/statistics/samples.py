"""Percentiles and medians of a few values at hand, as results folders keep them: rounded, linear between neighbours.

Knows nothing of requests that failed: `percentiles` beside it is for those. No values, no figure.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray


def sample_percentiles(
    values: Sequence[float] | NDArray[np.float64], percents: Sequence[float]
) -> dict[str, float | None]:
    """`{"p50": ...}` in the values' unit, to a thousandth; None where there are no values."""
    if not len(values):
        return {f"p{percent:g}": None for percent in percents}
    found = np.percentile(values, percents)
    return {f"p{percent:g}": round(float(value), 3) for percent, value in zip(percents, found, strict=True)}


def known_median(values: Iterable[float | None]) -> float | None:
    """Of those that are there, to four digits behind the point; None where none is."""
    known = [value for value in values if value is not None]
    return round(statistics.median(known), 4) if known else None
