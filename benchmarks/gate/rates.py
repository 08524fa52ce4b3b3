"""Figures of a binary test on labelled examples. Pure, and made anew from raw records: no figure is taken over."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence


def roc_auc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """Mann-Whitney's U over the number of pairs: the chance that a positive example is above a negative one."""
    ordered = sorted(negative)
    above = sum(bisect_left(ordered, value) + bisect_right(ordered, value) for value in positive)
    return above / 2 / (len(positive) * len(negative))


def auc_interval(
    positive: Sequence[float], negative: Sequence[float], z: float = 1.96
) -> tuple[float, float]:
    """About 95 % of the area's uncertainty, within 0..1.

    Hanley and McNeil, "The meaning and use of the area under a ROC curve", Radiology 143, 1982.
    """
    area, num_yes, num_no = roc_auc(positive, negative), len(positive), len(negative)
    q1, q2 = area / (2 - area), 2 * area * area / (1 + area)
    own = area * (1 - area)
    variance = (own + (num_yes - 1) * (q1 - area * area) + (num_no - 1) * (q2 - area * area)) / (
        num_yes * num_no
    )
    reach = z * max(0.0, variance) ** 0.5
    return max(0.0, area - reach), min(1.0, area + reach)


def share(flags: Sequence[bool]) -> float:
    return sum(flags) / len(flags)
