"""How sure a share of successes is: the exact interval of C. J. Clopper and E. S. Pearson, Biometrika 26 (1934)."""

from __future__ import annotations

import math

from benchmarks.statistics.bootstrap import Interval

_HALVINGS = 60


def share_interval(num_successes: int, num: int, confidence: float) -> Interval:
    """Every share that makes neither so many successes nor so few unlikely. `num` is at least 1."""
    tail = (1 - confidence) / 2
    low = _share_with(num_successes, num, tail) if num_successes > 0 else 0.0
    high = _share_with(num_successes + 1, num, 1 - tail) if num_successes < num else 1.0
    return Interval(low, high)


def _share_with(num_successes: int, num: int, probability: float) -> float:
    """The share at which `num_successes` or more of `num` have this probability, which grows with the share."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        is_below = _at_least(num_successes, num, middle) < probability
        low, high = (middle, high) if is_below else (low, middle)
    return (low + high) / 2


def _at_least(num_successes: int, num: int, share: float) -> float:
    return sum(math.comb(num, k) * share**k * (1 - share) ** (num - k) for k in range(num_successes, num + 1))
