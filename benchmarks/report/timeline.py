"""Records as arrays over time: what the plots of a run are drawn from.

A request that should have a value and has none is infinitely slow here, so that no percentile gets better
by failures. Percentiles are nearest ranks of all requests; only dots are sampled, never what they are made of.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from benchmarks.metrics.base import RequestMetric
from benchmarks.records import Record

Floats = npt.NDArray[np.float64]

MAX_BINS = 240
REQUESTS_PER_BIN = 20  # fewer say little about a percentile
MIN_BINS = 12
SLOWEST_SHARE = 0.01
_TOLD_SHARE = 0.25  # of a bin at the end that makes it worth a point
_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)


@dataclass(frozen=True, slots=True)
class Series:
    """One value a request, by intended arrival.

    Args:
        at_s: (n,) intended arrivals, ascending.
        values: (n,), infinite where a request that should have one has none.
    """

    at_s: Floats
    values: Floats

    @property
    def num_missing(self) -> int:
        return int(np.isinf(self.values).sum())


def series_of(metric: RequestMetric, records: Sequence[Record]) -> Series:
    """The requests to which the metric applies, with their (first) value."""
    pairs = sorted(
        (record.intended_ns / 1e9, (*metric.values(record), math.inf)[0])
        for record in records
        if metric.applies(record)
    )
    array = np.array(pairs, dtype=np.float64).reshape(-1, 2)
    return Series(array[:, 0], array[:, 1])


def ranked_values(metric: RequestMetric, records: Sequence[Record]) -> Floats:
    """Every value of every request, ascending, with the missing ones at the end as infinities."""
    values: list[float] = []
    num_missing = 0
    for record in records:
        if metric.applies(record):
            found = metric.values(record)
            values.extend(found)
            num_missing += not found or metric.is_cut_off(record)
    ranked = np.sort(np.array(values, dtype=np.float64))
    return np.concatenate([ranked, np.full(num_missing, math.inf)])


def at_quantiles(ranked: Floats, quantiles: Floats) -> Floats:
    """Nearest ranks: the smallest value that at least this share does not exceed."""
    ranks = np.ceil(quantiles * len(ranked) - 1e-9 * len(ranked)).astype(np.int64)
    return ranked[np.clip(ranks - 1, 0, len(ranked) - 1)]


# ---------------------------------------------------------------- bins of time


@dataclass(frozen=True, slots=True)
class Bins:
    """Equal stretches of time from 0 on; `edges` has one more than there are."""

    width_s: float
    edges: Floats

    @property
    def centres(self) -> Floats:
        return (self.edges[:-1] + self.edges[1:]) / 2

    def counts(self, at_s: Floats) -> Floats:
        """How many moments are in each."""
        return np.histogram(at_s, self.edges)[0].astype(np.float64)

    def rates(self, at_s: Floats, end_s: float) -> Floats:
        """How many moments a second in each, of the time before `end_s`; NaN where hardly any of it is."""
        covered_s = np.clip(end_s - self.edges[:-1], 0.0, self.width_s)
        is_told = covered_s >= _TOLD_SHARE * self.width_s
        return np.where(is_told, self.counts(at_s) / np.maximum(covered_s, 1e-9), math.nan)

    def quantiles(self, series: Series, quantiles: Sequence[float]) -> Floats:
        """(len(quantiles), number of bins): of the requests that arrived in each; NaN where none did."""
        found = np.full((len(quantiles), len(self.edges) - 1), math.nan)
        starts = np.searchsorted(series.at_s, self.edges)
        for number, (start, end) in enumerate(pairwise(starts)):
            if end > start:
                found[:, number] = at_quantiles(np.sort(series.values[start:end]), np.array(quantiles))
        return found


def bins_for(span_s: float, num_events: int | None = None) -> Bins:
    """Bins of a round width, at least a second and at most MAX_BINS of them.

    Args:
        num_events: wide enough that each has some of them, but never fewer than MIN_BINS bins.
    """
    span_s = max(span_s, 1.0)
    wanted_s = max(1.0, span_s / MAX_BINS)
    if num_events:
        wanted_s = max(wanted_s, min(span_s * REQUESTS_PER_BIN / num_events, span_s / MIN_BINS))
    # The next round width; but never so wide that a short run has next to no bins.
    wide_enough = (step for step in _STEPS_S if step >= wanted_s * 0.999 and _num(span_s, step) <= MAX_BINS)
    width_s = next(wide_enough, math.ceil(wanted_s / 3600) * 3600)
    num = _num(span_s, width_s)
    return Bins(float(width_s), np.arange(num + 1, dtype=np.float64) * float(width_s))


def _num(span_s: float, width_s: float) -> int:
    return max(1, math.ceil(span_s / width_s - 1e-9))


# ---------------------------------------------------------------- load


def in_flight(starts_s: Floats, ends_s: Floats, at_s: Floats) -> Floats:
    """How many had begun and not ended at each moment."""
    begun = np.searchsorted(np.sort(starts_s), at_s, side="right")
    ended = np.searchsorted(np.sort(ends_s), at_s, side="right")
    return (begun - ended).astype(np.float64)


def tokens_by_bin(records: Sequence[Record], bins: Bins) -> Floats:
    """Pieces of text that came in each bin, each answer's spread evenly between its first and its last."""
    spans = [
        (record.first_token_ns / 1e9, record.last_token_ns / 1e9, record.num_pieces)
        for record in records
        if record.first_token_ns is not None and record.last_token_ns is not None
    ]
    array = np.array(spans, dtype=np.float64).reshape(-1, 3)
    first_s, length_s, num = array[:, 0], np.maximum(array[:, 1] - array[:, 0], 1e-9), array[:, 2]
    so_far = [float((np.clip((edge - first_s) / length_s, 0, 1) * num).sum()) for edge in bins.edges]
    return np.diff(so_far)


# ---------------------------------------------------------------- dots


def sampled(series: Series, most: int) -> npt.NDArray[np.int64]:
    """Positions of at most `most` values that stand for all: every one of the slowest, and evenly of the rest."""
    known = np.flatnonzero(np.isfinite(series.values))
    if len(known) <= most:
        return known
    by_value = known[np.argsort(series.values[known], kind="stable")]
    num_slowest = min(most // 3, math.ceil(len(known) * SLOWEST_SHARE))
    slowest, rest = by_value[-num_slowest:], np.sort(by_value[:-num_slowest])
    evenly = rest[np.linspace(0, len(rest) - 1, most - num_slowest).astype(np.int64)]
    return np.sort(np.concatenate([slowest, evenly]))
