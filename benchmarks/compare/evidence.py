"""What the runs of two sides say about one metric: how big the difference is, and how surely it is one.

A difference is B minus A, on the metric's scale (logarithms for most). It may be infinite: a side whose
requests failed has no percentile, which is worse than any. `paired` and `unpaired` are the two kinds.

Knows nothing of servers, runs or verdicts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import numpy as np

from benchmarks.statistics.bootstrap import Floats, Interval

# Stands in for infinite differences, so that ranks and averages of them are defined. No finite difference of
# logarithms, rates or shares comes near.
BOUND = 1e12


class Evidence(Protocol):
    """Differences of one metric. Exact tests: their level holds for any noise that is alike on both sides."""

    @property
    def num_values(self) -> int:
        """Pairs, or runs of both sides together."""

    def estimate(self) -> float:
        """The difference, as Hodges and Lehmann estimate it; one odd run hardly moves it."""

    def p_value(self) -> float:
        """Two-sided: how often noise alone looks at least as different."""

    def p_above(self, shift: float) -> float:
        """One-sided: how often this or more is seen when the difference is `shift` or less."""

    def p_below(self, shift: float) -> float:
        """One-sided: how often this or less is seen when the difference is `shift` or more."""

    def interval(self, confidence: float) -> Interval | None:
        """Every difference that the two-sided test does not reject; None: too few values for any limit."""

    def bootstrap_interval(self, confidence: float, rng: np.random.Generator) -> Interval | None:
        """The bootstrap's interval of the estimate; None where a difference is infinite."""

    def detectable(self, alpha: float, power: float, rng: np.random.Generator) -> float | None:
        """The smallest difference that this many values with this noise show with `power` at level `alpha`.

        None: with so few values, or such infinite ones, no difference can be shown.
        """


def bounded(values: Floats) -> Floats:
    return np.clip(values, -BOUND, BOUND)


def unbounded(value: float) -> float:
    """Back from a stand-in, or a mean of one and a finite value, to infinity."""
    return math.copysign(math.inf, value) if abs(value) >= BOUND / 4 else value


def midranks(values: Floats) -> Floats:
    """Ranks from 1; equal values share the mean of theirs."""
    _, group, size = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(size)
    return np.asarray((last - (size - 1) / 2)[group], dtype=np.float64)


def centred(values: Floats, centre: float) -> Floats:
    """Residuals, widened by what a fitted centre takes from a small sample's spread."""
    size = len(values)
    return (values - centre) * math.sqrt(size / (size - 1))


def detected_with(power: float, lower_limits: Floats) -> float:
    """The shift that lifts the lower limit of this share of samples above 0.

    A test rejects exactly when 0 is outside its interval, and adding a shift to a sample adds it to the limit.
    """
    return float(max(0.0, np.quantile(-lower_limits, power)))


def critical_count(probability_up_to: Callable[[int], float], alpha: float, largest: int) -> int | None:
    """The largest statistic whose two-sided tail is at most `alpha`; None: not even 0 is."""
    count = None
    for candidate in range(largest + 1):
        if 2 * probability_up_to(candidate) > alpha:
            break
        count = candidate
    return count
