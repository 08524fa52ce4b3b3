"""Whether a series goes anywhere, judged by ranks: single outliers, such as one stall, hardly count.

Knows nothing of what the numbers are. Infinite values are allowed and rank as such.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
# Stands in for infinity where differences are taken.
_BOUND = 1e12


def mann_kendall_z(values: Sequence[float] | Floats) -> float:
    """Standard normal under no trend; positive where values rise. 0 for fewer than three.

    H. B. Mann, "Nonparametric Tests Against Trend", Econometrica 13 (1945); M. G. Kendall, "Rank Correlation
    Methods" (1975), with ties and continuity correction.
    """
    series = _finite(values)
    size = len(series)
    if size < 3:
        return 0.0
    first, second = np.triu_indices(size, 1)
    score = float(np.sign(series[second] - series[first]).sum())
    _, ties = np.unique(series, return_counts=True)
    variance = (size * (size - 1) * (2 * size + 5) - float((ties * (ties - 1) * (2 * ties + 5)).sum())) / 18
    return (
        0.0 if variance <= 0 else (score - math.copysign(min(1.0, abs(score)), score)) / math.sqrt(variance)
    )


def theil_sen_slope(values: Sequence[float] | Floats) -> float:
    """The median slope over all pairs, per step. P. K. Sen, JASA 63 (1968). 0 for fewer than two values."""
    series = _finite(values)
    if len(series) < 2:
        return 0.0
    first, second = np.triu_indices(len(series), 1)
    return float(np.median((series[second] - series[first]) / (second - first)))


def signed_rank_z(values: Sequence[float] | Floats) -> float:
    """Standard normal if values are symmetric around 0; positive where they are above. 0 without any but zeros.

    F. Wilcoxon, "Individual Comparisons by Ranking Methods", Biometrics Bulletin 1 (1945), normal approximation
    with ties.
    """
    series = _finite(values)
    series = series[series != 0]
    size = len(series)
    if not size:
        return 0.0
    _, group, ties = np.unique(np.abs(series), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(ties) - (ties - 1) / 2)[group]
    variance = size * (size + 1) * (2 * size + 1) / 24 - float((ties**3 - ties).sum()) / 48
    return (float(ranks[series > 0].sum()) - size * (size + 1) / 4) / math.sqrt(variance)


def hodges_lehmann(values: Sequence[float] | Floats) -> float:
    """The median of all pairs' means: a centre that outliers hardly move. JASA 58 (1963).

    Raises:
        ValueError: there are no values.
    """
    series = _finite(values)
    if not len(series):
        raise ValueError("no values have no centre")
    first, second = np.triu_indices(len(series))
    return float(np.median((series[first] + series[second]) / 2))


def _finite(values: Sequence[float] | Floats) -> Floats:
    return np.clip(np.asarray(values, dtype=np.float64), -_BOUND, _BOUND)
