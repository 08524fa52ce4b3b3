"""Bootstrap intervals of any statistic of one or several samples.

Good for showing how sure an estimate is, too narrow to decide by when samples are small: with ten values a
95 % interval misses the truth in 8 to 20 of 100 cases, more the heavier the tails. `compare` decides by exact
rank tests instead.

Knows nothing of what the numbers are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
# Takes one array (num_resamples, n_k) float64 a sample, returns (num_resamples,) float64.
Statistic = Callable[..., Floats]

_NORMAL = NormalDist()


class Interval(NamedTuple):
    """Where a value lies, both ends included."""

    low: float
    high: float


def bca_interval(
    samples: Sequence[Sequence[float]],
    statistic: Statistic,
    rng: np.random.Generator,
    *,
    confidence: float,
    num_resamples: int = 4000,
) -> Interval:
    """The bias-corrected and accelerated interval of `statistic`, which takes all samples at once.

    Each sample is resampled by itself. Formulas: B. Efron, "Better Bootstrap Confidence Intervals", JASA 82
    (1987), with the acceleration of several samples after Davison and Hinkley, "Bootstrap Methods and their
    Application" (1997), section 5.3.2.

    Args:
        samples: one or more, each of at least two finite values.
        statistic: vectorised over resamples; it sees arrays of shape (num_resamples, n_k).
        confidence: 0.95, for example.

    Raises:
        ValueError: a sample has fewer than two values, or one that is not finite.
    """
    arrays = [np.asarray(sample, dtype=np.float64) for sample in samples]
    for array in arrays:
        if len(array) < 2 or not np.isfinite(array).all():
            raise ValueError("a bootstrap needs samples of at least two finite values")
    drawn = (array[rng.integers(0, len(array), (num_resamples, len(array)))] for array in arrays)
    resampled = np.sort(statistic(*drawn))
    observed = float(statistic(*(array[np.newaxis] for array in arrays))[0])
    bias = _bias(resampled, observed)
    acceleration = _acceleration(arrays, statistic)
    tail = _NORMAL.inv_cdf((1 - confidence) / 2)
    low, high = (_corrected(bias, acceleration, z) for z in (tail, -tail))
    return Interval(float(np.quantile(resampled, low)), float(np.quantile(resampled, high)))


def _bias(resampled: Floats, observed: float) -> float:
    """Normal quantile of the share of resamples below the observed value; ties count by half."""
    share = float(np.mean(resampled < observed) + np.mean(resampled <= observed)) / 2
    smallest = 1 / (2 * len(resampled))
    return _NORMAL.inv_cdf(min(max(share, smallest), 1 - smallest))


def _acceleration(arrays: list[Floats], statistic: Statistic) -> float:
    """A sixth of the skewness of the statistic's jackknife influence values; 0 when nothing varies."""
    cubes = squares = 0.0
    for position, array in enumerate(arrays):
        size = len(array)
        without_one = np.array([np.delete(array, left_out) for left_out in range(size)])  # (size, size - 1)
        others = [np.broadcast_to(other, (size, len(other))) for other in arrays]
        others[position] = without_one
        values = statistic(*others)
        influence = (size - 1) * (values.mean() - values) / size
        cubes += float((influence**3).sum())
        squares += float((influence**2).sum())
    return cubes / (6 * squares**1.5) if squares > 0 else 0.0


def _corrected(bias: float, acceleration: float, z: float) -> float:
    """The percentile of the resamples that stands where the normal quantile `z` would."""
    shifted = bias + z
    scale = 1 - acceleration * shifted
    if scale <= 0:  # beyond the last resample: the formula's own limit
        return 1.0 if shifted > 0 else 0.0
    return _NORMAL.cdf(bias + shifted / scale)
