"""From the figures of runs to a comparison: in pairs, or of two sets that were measured at different times."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.compare.comparison import Comparison, Pair, PositionEffect
from benchmarks.compare.decide import Levels, judge
from benchmarks.compare.evidence import Evidence
from benchmarks.compare.figures import FIGURES, Figure, RunFigures, primary_of
from benchmarks.compare.paired import PairedDifferences, fewest_pairs, smallest_p_value
from benchmarks.compare.unpaired import TwoSamples, smallest_p_value_of


def compare_pairs(
    pairs: Sequence[Pair],
    names: tuple[str, str],
    levels: Levels,
    rng: np.random.Generator,
    *,
    primary: str | None = None,
    notes: Sequence[str] = (),
    stopped_because: str | None = None,
    shortage: str | None = None,
) -> Comparison:
    """What the pairs that count say. With too few of them nothing is measured, and nothing raised."""
    chosen = primary_of((run for pair in pairs for run in (pair.a, pair.b)), primary)
    counting = [pair for pair in pairs if not pair.problems_with(chosen)]
    runs_a, runs_b = tuple(pair.a for pair in counting), tuple(pair.b for pair in counting)
    evidence: dict[str, Evidence] = {}
    for figure in FIGURES:
        values = _differences(figure, runs_a, runs_b)
        if values and smallest_p_value(len(values)) <= levels.alpha:
            evidence[figure.name] = PairedDifferences(values)
    position = _position(chosen, counting)
    return Comparison(
        *names,
        levels=levels,
        primary=chosen,
        judged=judge(FIGURES, evidence, chosen.name, levels, rng),
        runs_a=runs_a,
        runs_b=runs_b,
        pairs=tuple(counting),
        position=position,
        excluded=tuple(
            f"pair {pair.planned.index}: {text}" for pair in pairs for text in pair.problems_with(chosen)
        ),
        notes=(
            *notes,
            *_position_notes(position, chosen, levels),
            *_too_few(len(counting), len(evidence), levels),
            *_notes(names, runs_a, runs_b),
        ),
        stopped_because=stopped_because,
        shortage=shortage,
    )


def compare_sets(
    sets: tuple[Sequence[RunFigures], Sequence[RunFigures]],
    names: tuple[str, str],
    levels: Levels,
    rng: np.random.Generator,
    *,
    primary: str | None = None,
    notes: Sequence[str] = (),
) -> Comparison:
    """What two sets of runs say that were made at different times; weaker evidence than pairs."""
    chosen = primary_of((run for runs in sets for run in runs), primary)
    runs_a, runs_b = (tuple(run for run in runs if not run.problems_with(chosen)) for runs in sets)
    evidence: dict[str, Evidence] = {}
    for figure in FIGURES:
        a, b = _on_scale(figure, runs_a), _on_scale(figure, runs_b)
        if a and b and smallest_p_value_of(len(a), len(b)) <= levels.alpha:
            evidence[figure.name] = TwoSamples(a, b)
    return Comparison(
        *names,
        levels=levels,
        primary=chosen,
        judged=judge(FIGURES, evidence, chosen.name, levels, rng),
        runs_a=runs_a,
        runs_b=runs_b,
        excluded=tuple(
            f"{side} run {number}: {text}"
            for side, runs in zip("AB", sets, strict=True)
            for number, run in enumerate(runs, 1)
            for text in run.problems_with(chosen)
        ),
        notes=(*notes, *_notes(names, runs_a, runs_b)),
    )


def _differences(figure: Figure, a: Sequence[RunFigures], b: Sequence[RunFigures]) -> tuple[float, ...]:
    found = (
        figure.difference(one.value(figure), other.value(figure)) for one, other in zip(a, b, strict=True)
    )
    return tuple(value for value in found if value is not None)


def _on_scale(figure: Figure, runs: Sequence[RunFigures]) -> tuple[float, ...]:
    values = (run.value(figure) for run in runs)
    return tuple(figure.on_scale(value) for value in values if value is not None)


def _position(figure: Figure, pairs: Sequence[Pair]) -> PositionEffect | None:
    in_order = [(pair.a, pair.b) if pair.planned.order[0] == "a" else (pair.b, pair.a) for pair in pairs]
    values = _differences(figure, [first for first, _ in in_order], [second for _, second in in_order])
    if not values:
        return None
    differences = PairedDifferences(values)
    return PositionEffect(figure.in_parts(differences.estimate()), differences.p_value())


def _position_notes(position: PositionEffect | None, primary: Figure, levels: Levels) -> tuple[str, ...]:
    if position is None or position.p_value > levels.alpha:
        return ()
    return (
        f"{primary.text} of the second run of a pair differs by {position.difference:+.1%} from the "
        "first's, whichever side it is: the server remembers a schedule, perhaps; this costs power and is no bias",
    )


def _too_few(num_pairs: int, num_figures: int, levels: Levels) -> tuple[str, ...]:
    """The figures beside the primary one share their alpha, so they need more pairs than it does."""
    share = levels.alpha / max(1, num_figures - 1)
    if not num_figures or smallest_p_value(num_pairs) <= share:
        return ()
    return (
        f"only the primary figure can be shown to differ with {num_pairs} pairs; the others need {fewest_pairs(share)}",
    )


def _notes(
    names: tuple[str, str], runs_a: Sequence[RunFigures], runs_b: Sequence[RunFigures]
) -> tuple[str, ...]:
    notes = []
    for name, runs in zip(names, (runs_a, runs_b), strict=True):
        num_saturated = sum(run.is_saturated for run in runs)
        if num_saturated:
            notes.append(
                f"{name} fell behind the schedule in {num_saturated} of {len(runs)} runs: its latencies depend "
                "on how long a run is; compare at a lower rate"
            )
    for figure in FIGURES:
        num_doubted = sum(figure.name in run.doubts for run in (*runs_a, *runs_b))
        if num_doubted:
            notes.append(
                f"{figure.text} leaves out {num_doubted} runs in which the client itself could explain it"
            )
    return tuple(notes)
