"""Differences of paired runs, judged by Wilcoxon's signed-rank test.

Why this test decides and the bootstrap does not: the order within a pair is random, so without a difference
its sign is as likely + as -, whatever the noise is (heavy tails, bursts, two modes). The test's distribution
follows from that, with eight pairs as with eighty; and ranks keep one disturbed run from hiding a difference,
as it does from a t test. In simulations with 12 pairs, at a nominal 1 %, it is wrong in 0.4 to 1.2 % of the
comparisons of a server with itself (drift, which pairs turn into opposite signs, makes it rarer; noise that
wanders makes it that much more frequent). With 10 pairs and a nominal 5 %, BCa bootstrap intervals are wrong in 5
to 20 %. Of a difference under noise in bursts the t test finds two thirds of what ranks find.
tests/unit/benchmarks/compare repeats this.

F. Wilcoxon, Biometrics Bulletin 1 (1945); estimate and interval: J. L. Hodges and E. L. Lehmann, Annals of
Mathematical Statistics 34 (1963).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from benchmarks.compare.evidence import (
    bounded,
    centred,
    critical_count,
    detected_with,
    midranks,
    unbounded,
)
from benchmarks.statistics.bootstrap import Floats, Interval, bca_interval

_NUM_RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class PairedDifferences:
    """One difference a pair, B minus A. At least one."""

    values: tuple[float, ...]

    @property
    def num_values(self) -> int:
        return len(self.values)

    def estimate(self) -> float:
        return unbounded(float(np.median(_pair_means(self._array()[np.newaxis])[0])))

    def p_value(self) -> float:
        return min(1.0, 2 * min(self.p_above(0.0), self.p_below(0.0)))

    def p_above(self, shift: float) -> float:
        return _upper_tail(self._array() - shift)

    def p_below(self, shift: float) -> float:
        return _upper_tail(shift - self._array())

    def interval(self, confidence: float) -> Interval | None:
        cut = _cut(len(self.values), 1 - confidence)
        if cut is None:
            return None
        means = np.sort(_pair_means(self._array()[np.newaxis])[0])
        return Interval(unbounded(float(means[cut])), unbounded(float(means[-1 - cut])))

    def bootstrap_interval(self, confidence: float, rng: np.random.Generator) -> Interval | None:
        if len(self.values) < 2 or not np.isfinite(self.values).all():
            return None
        return bca_interval(
            [self.values],
            lambda drawn: np.median(_pair_means(drawn), axis=1),
            rng,
            confidence=confidence,
            num_resamples=_NUM_RESAMPLES,
        )

    def detectable(self, alpha: float, power: float, rng: np.random.Generator) -> float | None:
        size = len(self.values)
        cut = _cut(size, alpha)
        if cut is None or not np.isfinite(self.values).all():
            return None
        residuals = centred(self._array(), self.estimate())
        drawn = residuals[rng.integers(0, size, (_NUM_RESAMPLES, size))]
        drawn *= rng.choice((-1.0, 1.0), drawn.shape)  # which of the two came first was chance
        lower = np.partition(_pair_means(drawn), cut, axis=1)[:, cut]
        return detected_with(power, lower)

    def _array(self) -> Floats:
        return bounded(np.asarray(self.values, dtype=np.float64))


def smallest_p_value(num_pairs: int) -> float:
    """What the test says when every pair points the same way; nothing below it can be shown."""
    return min(1.0, 2.0 ** (1 - num_pairs))


def fewest_pairs(alpha: float) -> int:
    """With fewer, nothing can be shown at this level."""
    num_pairs = 1
    while smallest_p_value(num_pairs) > alpha:
        num_pairs += 1
    return num_pairs


def _pair_means(values: Floats) -> Floats:
    """Means of every value with itself and every other. (m, n) -> (m, n * (n + 1) / 2)."""
    first, second = np.triu_indices(values.shape[1])
    return np.asarray((values[:, first] + values[:, second]) / 2)


def _cut(num_pairs: int, alpha: float) -> int | None:
    """How many of the smallest pair means, and of the largest, the interval leaves out."""
    # A hair above alpha: 1 - 0.99 is not quite 0.01.
    tails = np.cumsum(_sign_distribution(tuple(range(2, 2 * num_pairs + 1, 2)))[::2])
    return critical_count(lambda count: float(tails[count]), alpha * (1 + 1e-9), len(tails) - 1)


def _upper_tail(values: Floats) -> float:
    """P(rank sum of the positive values >= the observed one), over all signs; zeros say nothing."""
    nonzero = values[values != 0]
    if not len(nonzero):
        return 1.0
    doubled = np.rint(2 * midranks(np.abs(nonzero))).astype(int)
    observed = int(doubled[nonzero > 0].sum())
    distribution = _sign_distribution(tuple(sorted(int(rank) for rank in doubled)))
    return min(1.0, float(distribution[observed:].sum()))


@lru_cache(maxsize=1024)
def _sign_distribution(ranks: tuple[int, ...]) -> Floats:
    """P(sum of a random half of the ranks = s) for s = 0, 1, ...; each rank is in or out with 1/2.

    Ranks are doubled, so that shared ones stay whole.
    """
    probabilities = np.zeros(sum(ranks) + 1)
    probabilities[0] = 1.0
    for rank in ranks:
        with_it = np.zeros_like(probabilities)
        with_it[rank:] = probabilities[: len(probabilities) - rank]
        probabilities = (probabilities + with_it) / 2
    return probabilities
