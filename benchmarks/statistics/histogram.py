"""Percentiles that can be merged: HdrHistogram, filled in bulk.

Values are counted in steps of a thousandth of their unit (microseconds for milliseconds), from 1 step to
2 hours of microseconds, with three digits: a percentile is at most 0.1 % above the exact order statistic and
never below it. Histograms of workers, runs and machines are added before a percentile is taken; percentiles
are never averaged. The encoded form is HdrHistogram's own (V2, compressed), which its other tools read.

Knows nothing of failures; `percentiles` ranks them.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable
from typing import Self

import numpy as np
import numpy.typing as npt
from hdrh.codec import HdrCookieException, HdrLengthException
from hdrh.histogram import HdrHistogram

STEPS_PER_UNIT = 1000
HIGHEST_STEP = 7_200_000_000  # 2 hours in microseconds
_DIGITS = 3
# HdrHistogram keeps the 11 leading binary digits of a value for 3 decimal ones.
_BITS = 11


class Histogram:
    """Counts of non-negative values."""

    def __init__(self) -> None:
        self._counts = HdrHistogram(1, HIGHEST_STEP, _DIGITS)

    @property
    def num(self) -> int:
        return int(self._counts.total_count)

    def add(self, values: npt.ArrayLike) -> None:
        """Count values; one above 7.2 million units counts as that.

        Raises:
            ValueError: a value is negative or no number.
        """
        array = np.asarray(values, dtype=np.float64).ravel()
        if not (array >= 0).all():
            raise ValueError("a histogram takes numbers from 0 on")
        steps = np.rint(np.minimum(array * STEPS_PER_UNIT, HIGHEST_STEP)).astype(np.int64)
        # To the bucket's lowest value first: fewer different ones to hand over one by one.
        _, num_bits = np.frexp(steps)
        surplus = np.maximum(num_bits - _BITS, 0)
        for step, count in zip(*np.unique((steps >> surplus) << surplus, return_counts=True), strict=True):
            self._counts.record_value(int(step), int(count))

    def value_at_rank(self, rank: int) -> float:
        """The `rank`-th smallest value, 1 to num, as the highest value that shares its bucket."""
        if not 1 <= rank <= self.num:
            raise IndexError(f"no rank {rank} in {self.num} values")
        totals = np.cumsum(np.frombuffer(self._counts.counts, dtype=np.uint64))
        index = int(np.searchsorted(totals, rank))
        lowest = self._counts.get_value_from_index(index)
        return float(self._counts.get_highest_equivalent_value(lowest)) / STEPS_PER_UNIT

    def percentile(self, percentile: float) -> float | None:
        """The smallest value that at least `percentile` % do not exceed; None without values."""
        return self.value_at_rank(rank_of(percentile, self.num)) if self.num else None

    @classmethod
    def merged(cls, histograms: Iterable[Histogram]) -> Self:
        """All their values together."""
        merged = cls()
        for histogram in histograms:
            merged._counts.add(histogram._counts)  # noqa: SLF001 (the same class)
        return merged

    def encode(self) -> str:
        """HdrHistogram's base64 text."""
        return str(self._counts.encode().decode("ascii"))

    @classmethod
    def decode(cls, text: str) -> Self:
        """Back from `encode`, or from another tool's histogram of microseconds with the same range and digits.

        Raises:
            ValueError: it has another range or precision, or is no histogram.
        """
        try:
            counts = HdrHistogram.decode(text)
        except (ValueError, TypeError, zlib.error, HdrCookieException, HdrLengthException) as exc:
            raise ValueError(f"no HdrHistogram: {exc}") from exc
        if (counts.highest_trackable_value, counts.significant_figures) != (HIGHEST_STEP, _DIGITS):
            raise ValueError("an HdrHistogram of another range or precision")
        histogram = cls()
        histogram._counts.add(counts)
        return histogram


def rank_of(percentile: float, num: int) -> int:
    """The nearest rank, 1 to `num`: the first that has at least `percentile` % of all at or below it."""
    # 99.9 * 1000 / 100 is 999.0000000000001 in binary: a hair may not cost a rank.
    return min(max(1, math.ceil(percentile * num / 100 - 1e-9 * num)), num)
