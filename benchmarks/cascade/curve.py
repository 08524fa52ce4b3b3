"""What a cascade costs and how good it is, by threshold, against small only, large only and a coin. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answered:
    """One question as both models answered it."""

    is_small_right: bool
    is_large_right: bool
    small_cost: float
    large_cost: float
    mean_logprob: float | None  # of the small one's answer; None: not told, so it is never sure


@dataclass(frozen=True, slots=True)
class Point:
    """A policy's cost and quality per question."""

    threshold: float | None
    cost: float
    quality: float  # share of right answers
    large_share: float  # of the questions that the large model answered


def small_only(answers: Sequence[Answered]) -> Point:
    return _point(answers, [False] * len(answers), threshold=None)


def large_only(answers: Sequence[Answered]) -> Point:
    """Without asking the small one first."""
    cost = sum(one.large_cost for one in answers) / len(answers)
    return Point(None, cost, sum(one.is_large_right for one in answers) / len(answers), 1.0)


def at_threshold(answers: Sequence[Answered], threshold: float) -> Point:
    """The small one's answer where its mean log-probability is at least the threshold."""
    escalated = [one.mean_logprob is None or one.mean_logprob < threshold for one in answers]
    return _point(answers, escalated, threshold)


def curve(answers: Sequence[Answered]) -> list[Point]:
    """One point for each threshold that makes a difference, from all small to all escalated."""
    known = sorted({one.mean_logprob for one in answers if one.mean_logprob is not None})
    return [at_threshold(answers, threshold) for threshold in (*known, 1.0)]


def coin(answers: Sequence[Answered], cost: float) -> float:
    """The quality of sending a random share straight to the large model, as many as cost the same."""
    low, high = small_only(answers), large_only(answers)
    share = 0.0 if high.cost == low.cost else (cost - low.cost) / (high.cost - low.cost)
    return low.quality + min(1.0, max(0.0, share)) * (high.quality - low.quality)


def best_gain(answers: Sequence[Answered]) -> tuple[Point, float]:
    """(the point that is furthest above the coin of the same cost, by how much)."""
    points = curve(answers)
    gains = [point.quality - coin(answers, point.cost) for point in points]
    best = max(range(len(points)), key=gains.__getitem__)
    return points[best], gains[best]


def gain_interval(
    answers: Sequence[Answered], threshold: float, num_draws: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """95 % of the gain at a threshold over resampled questions (percentile bootstrap)."""
    rng = random.Random(seed)  # noqa: S311 (resampling)
    gains = []
    for _ in range(num_draws):
        drawn = rng.choices(answers, k=len(answers))
        point = at_threshold(drawn, threshold)
        gains.append(point.quality - coin(drawn, point.cost))
    gains.sort()
    return gains[int(0.025 * num_draws)], gains[int(0.975 * num_draws)]


def _point(answers: Sequence[Answered], escalated: Sequence[bool], threshold: float | None) -> Point:
    cost, num_right = 0.0, 0
    for one, is_escalated in zip(answers, escalated, strict=True):
        cost += one.small_cost + (one.large_cost if is_escalated else 0.0)
        num_right += one.is_large_right if is_escalated else one.is_small_right
    num = len(answers)
    return Point(threshold, cost / num, num_right / num, sum(escalated) / num)
