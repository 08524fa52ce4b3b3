"""From evidence to verdicts: which figures differ, with the chance of a false alarm held over all of them.

The primary figure is tested at `alpha` by itself; all others together have `alpha` once more, by Holm's
procedure (S. Holm, Scandinavian Journal of Statistics 6, 1979). A comparison of a server with itself so
finds any difference at all in at most 2 alpha of the cases, half of them on the side that fails a build.

Knows nothing of runs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from benchmarks.compare.evidence import Evidence
from benchmarks.compare.figures import Figure
from benchmarks.statistics.bootstrap import Interval


class Verdict(StrEnum):
    """Of B against A."""

    WORSE = "worse"
    BETTER = "better"
    EQUIVALENT = "equivalent"  # within the margin that was asked for
    NOT_SHOWN = "no difference shown"  # which is not the same as equivalent: see the detectable difference
    NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class Levels:
    """How sure is sure enough.

    Args:
        alpha: chance of a false alarm in the primary figure, and once more in all others together. 1 % and
            not the usual 5 %: a gate that is wrong every twentieth time is soon ignored.
        power: with which the detectable difference would be found.
        margin: differences below it do not matter, in parts of A (0.05 is 5 %); None: none was asked for.
    """

    alpha: float = 0.01
    power: float = 0.9
    margin: float | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """One figure's verdict and what it rests on. Differences are in parts of A, or shares of requests.

    Args:
        num_values: pairs (or runs) in which the figure is defined on both sides.
        interval: of the difference, with confidence 1 - alpha, unadjusted; every value the test allows.
        bootstrap: the BCa interval with the same confidence. For display: with few pairs it is too narrow.
        p_value, p_adjusted: two-sided; adjusted for the number of figures, to be held against alpha.
        p_equivalent: larger of the two one-sided tests against the margin (Schuirmann's TOST, 1987).
        detectable: smallest difference that would be shown with the power asked for, at this noise; itself
            an estimate from few values. None: none can be shown with so few.
    """

    figure: Figure
    is_primary: bool
    verdict: Verdict
    num_values: int
    difference: float | None = None
    interval: Interval | None = None
    bootstrap: Interval | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    p_equivalent: float | None = None
    detectable: float | None = None


def judge(
    figures: Sequence[Figure],
    evidence: Mapping[str, Evidence],
    primary: str,
    levels: Levels,
    rng: np.random.Generator,
) -> tuple[Judged, ...]:
    """A verdict for each figure, in their order; one without evidence was not measured."""
    p_values = {name: found.p_value() for name, found in evidence.items()}
    adjusted = holm({name: p for name, p in p_values.items() if name != primary})
    if primary in p_values:
        adjusted[primary] = p_values[primary]
    # A secondary figure has to pass Holm's first and strictest step when it is the only one that differs.
    num_others = max(1, len(p_values) - 1)
    judged = []
    for figure in figures:
        found = evidence.get(figure.name)
        if found is None:
            judged.append(Judged(figure, figure.name == primary, Verdict.NOT_MEASURED, 0))
            continue
        is_primary = figure.name == primary
        share = levels.alpha if is_primary else levels.alpha / num_others
        p_adjusted = adjusted[figure.name]
        judged.append(
            _judged(
                figure,
                found,
                levels,
                rng,
                is_primary=is_primary,
                p_adjusted=p_adjusted,
                detectable_alpha=share,
            )
        )
    return tuple(judged)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjusted p values: each may be held against the alpha of the whole family."""
    adjusted: dict[str, float] = {}
    largest = 0.0
    for rank, (name, p_value) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        largest = max(largest, min(1.0, p_value * (len(p_values) - rank)))
        adjusted[name] = largest
    return adjusted


def _judged(
    figure: Figure,
    found: Evidence,
    levels: Levels,
    rng: np.random.Generator,
    *,
    is_primary: bool,
    p_adjusted: float,
    detectable_alpha: float,
) -> Judged:
    confidence = 1 - levels.alpha
    estimate = found.estimate()
    p_equivalent = _p_equivalent(figure, found, levels.margin)
    detectable = found.detectable(detectable_alpha, levels.power, rng)
    return Judged(
        figure=figure,
        is_primary=is_primary,
        verdict=_verdict(figure, estimate, p_adjusted, p_equivalent, levels.alpha),
        num_values=found.num_values,
        difference=figure.in_parts(estimate),
        interval=_in_parts(figure, found.interval(confidence)),
        bootstrap=_in_parts(figure, found.bootstrap_interval(confidence, rng)),
        p_value=found.p_value(),
        p_adjusted=p_adjusted,
        p_equivalent=p_equivalent,
        detectable=None if detectable is None else figure.in_parts(detectable),
    )


def _verdict(
    figure: Figure, estimate: float, p_adjusted: float, p_equivalent: float | None, alpha: float
) -> Verdict:
    if p_equivalent is not None and p_equivalent <= alpha:
        return Verdict.EQUIVALENT  # also when it is surely not 0: it does not matter
    if p_adjusted > alpha or estimate == 0:
        return Verdict.NOT_SHOWN
    return Verdict.WORSE if figure.is_worse(estimate) else Verdict.BETTER


def _p_equivalent(figure: Figure, found: Evidence, margin: float | None) -> float | None:
    if margin is None or figure.scale == "share":  # 5 % of a latency may not matter; 5 more errors of 100 do
        return None
    limit = math.log1p(margin)
    return max(found.p_above(-limit), found.p_below(limit))


def _in_parts(figure: Figure, interval: Interval | None) -> Interval | None:
    if interval is None:
        return None
    return Interval(figure.in_parts(interval.low), figure.in_parts(interval.high))
