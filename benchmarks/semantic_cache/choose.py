"""Hit and false-hit rate by threshold, and the threshold that a cross-validation would choose. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

MAX_FALSE_HITS = 0.01  # on pairs that have not chosen the threshold
# On pairs that do: with some hundred near misses, one in a hundred allowed here is two or three elsewhere.
MAX_CHOSEN_FALSE_HITS = 0.0
THRESHOLDS = tuple(round(0.50 + 0.01 * step, 2) for step in range(50))


@dataclass(frozen=True, slots=True)
class Scored:
    """A pair and what the cache said of it."""

    family: int
    is_same: bool
    score: float | None  # None: never a hit, whatever the threshold


@dataclass(frozen=True, slots=True)
class Rates:
    """At one threshold."""

    threshold: float
    hits: float  # of the pairs that mean the same
    false_hits: float  # of the near misses


def rates(pairs: Sequence[Scored], threshold: float) -> Rates:
    return Rates(threshold, _share(pairs, threshold, is_same=True), _share(pairs, threshold, is_same=False))


def choose(pairs: Sequence[Scored], max_false_hits: float = MAX_CHOSEN_FALSE_HITS) -> float:
    """The lowest threshold from which on the false hits are few enough."""
    chosen = THRESHOLDS[-1]
    for threshold in reversed(THRESHOLDS):
        if rates(pairs, threshold).false_hits > max_false_hits:
            break
        chosen = threshold
    return chosen


def cross_validated(pairs: Sequence[Scored], num_folds: int = 8, seed: int = 0) -> tuple[list[float], Rates]:
    """(the threshold of each fold, the rates on families that did not choose it; its threshold is the highest)."""
    families = sorted({pair.family for pair in pairs})
    random.Random(seed).shuffle(families)  # noqa: S311 (folds, no secrets)
    chosen: list[float] = []
    judged: list[tuple[Scored, float]] = []
    for fold in range(num_folds):
        held_out = set(families[fold::num_folds])
        threshold = choose([pair for pair in pairs if pair.family not in held_out])
        chosen.append(threshold)
        judged += [(pair, threshold) for pair in pairs if pair.family in held_out]
    hits, false_hits = (
        [is_hit(pair, threshold) for pair, threshold in judged if pair.is_same is is_same]
        for is_same in (True, False)
    )
    return chosen, Rates(max(chosen), sum(hits) / len(hits), sum(false_hits) / len(false_hits))


def is_hit(pair: Scored, threshold: float) -> bool:
    return pair.score is not None and pair.score >= threshold


def _share(pairs: Sequence[Scored], threshold: float, *, is_same: bool) -> float:
    flags = [is_hit(pair, threshold) for pair in pairs if pair.is_same is is_same]
    return sum(flags) / len(flags)
