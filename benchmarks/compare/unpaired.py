"""Two sets of runs that were not made in pairs, judged by the rank-sum test of Wilcoxon, Mann and Whitney.

Weaker than pairs: whatever else differed between the two times of measuring looks like a difference. The
test is exact only under the belief that nothing did.

H. B. Mann and D. R. Whitney, Annals of Mathematical Statistics 18 (1947); estimate and interval: Hodges and
Lehmann (1963).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
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
class TwoSamples:
    """One value a run, on a scale on which they are subtracted. At least one of each."""

    a: tuple[float, ...]
    b: tuple[float, ...]

    @property
    def num_values(self) -> int:
        return len(self.a) + len(self.b)

    def estimate(self) -> float:
        return unbounded(float(np.median(self._differences())))

    def p_value(self) -> float:
        return min(1.0, 2 * min(self.p_above(0.0), self.p_below(0.0)))

    def p_above(self, shift: float) -> float:
        return _upper_tail(_array(self.a), _array(self.b) - shift)

    def p_below(self, shift: float) -> float:
        return _upper_tail(-_array(self.a), shift - _array(self.b))

    def interval(self, confidence: float) -> Interval | None:
        cut = _cut(len(self.a), len(self.b), 1 - confidence)
        if cut is None:
            return None
        differences = np.sort(self._differences())
        return Interval(unbounded(float(differences[cut])), unbounded(float(differences[-1 - cut])))

    def bootstrap_interval(self, confidence: float, rng: np.random.Generator) -> Interval | None:
        if min(len(self.a), len(self.b)) < 2 or not np.isfinite([*self.a, *self.b]).all():
            return None
        return bca_interval(
            [self.a, self.b],
            lambda a, b: np.median(_all_differences(a, b), axis=1),
            rng,
            confidence=confidence,
            num_resamples=_NUM_RESAMPLES,
        )

    def detectable(self, alpha: float, power: float, rng: np.random.Generator) -> float | None:
        cut = _cut(len(self.a), len(self.b), alpha)
        if cut is None or not np.isfinite([*self.a, *self.b]).all():
            return None
        drawn = []
        for sample in (self.a, self.b):
            residuals = centred(_array(sample), float(np.median(sample)))
            drawn.append(residuals[rng.integers(0, len(sample), (_NUM_RESAMPLES, len(sample)))])
        lower = np.partition(_all_differences(*drawn), cut, axis=1)[:, cut]
        return detected_with(power, lower)

    def _differences(self) -> Floats:
        return _all_differences(_array(self.a)[np.newaxis], _array(self.b)[np.newaxis]).ravel()


def smallest_p_value_of(num_a: int, num_b: int) -> float:
    """What the test says when every run of one side is below every run of the other."""
    return min(1.0, 2 / math.comb(num_a + num_b, num_a))


def fewest_a_side(alpha: float) -> int:
    """With fewer, nothing can be shown at this level."""
    num = 1
    while smallest_p_value_of(num, num) > alpha:
        num += 1
    return num


def _array(values: Sequence[float]) -> Floats:
    return bounded(np.asarray(values, dtype=np.float64))


def _all_differences(a: Floats, b: Floats) -> Floats:
    """Every b minus every a. (m, n_a), (m, n_b) -> (m, n_a * n_b)."""
    differences: Floats = b[:, :, np.newaxis] - a[:, np.newaxis, :]
    return np.asarray(differences.reshape(len(a), -1))


def _cut(num_a: int, num_b: int, alpha: float) -> int | None:
    """How many of the smallest differences, and of the largest, the interval leaves out."""
    ranks = tuple(range(2, 2 * (num_a + num_b) + 1, 2))
    smallest = num_b * (num_b + 1)  # doubled
    tails = np.cumsum(_split_distribution(ranks, num_b)[smallest::2])
    return critical_count(lambda count: float(tails[count]), alpha * (1 + 1e-9), num_a * num_b)


def _upper_tail(a: Floats, b: Floats) -> float:
    """P(rank sum of b >= the observed one), over all ways to choose which runs are B's."""
    doubled = np.rint(2 * midranks(np.concatenate((a, b)))).astype(int)
    distribution = _split_distribution(tuple(sorted(int(rank) for rank in doubled)), len(b))
    return min(1.0, float(distribution[int(doubled[len(a) :].sum()) :].sum()))


@lru_cache(maxsize=256)
def _split_distribution(ranks: tuple[int, ...], num_chosen: int) -> Floats:
    """P(sum of `num_chosen` ranks, chosen at random = s) for s = 0, 1, ...; ranks are doubled."""
    # Row k: P(k of the ranks seen so far are chosen, with this sum).
    probabilities = np.zeros((num_chosen + 1, sum(ranks) + 1))
    probabilities[0, 0] = 1.0
    for seen, rank in enumerate(ranks):
        # Each rank is chosen with the odds of what is left to choose among what is left.
        chances = (num_chosen - np.arange(num_chosen + 1)) / (len(ranks) - seen)
        chances = np.clip(chances, 0.0, 1.0)[:, np.newaxis]
        chosen = probabilities * chances
        probabilities = probabilities * (1 - chances)
        probabilities[1:, rank:] += chosen[:-1, : probabilities.shape[1] - rank]
    result: Floats = probabilities[num_chosen]
    return result
