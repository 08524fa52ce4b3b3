"""What a comparison found: verdicts, what they rest on, and an exit code for CI.

Knows nothing of how it was measured; `conclude` fills it, `document` writes it.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.compare.decide import Judged, Levels, Verdict
from benchmarks.compare.figures import Figure, RunFigures
from benchmarks.compare.plan import PlannedPair

NO_REGRESSION, REGRESSION, NOT_MEASURED = 0, 1, 2  # exit codes


@dataclass(frozen=True, slots=True)
class Pair:
    """Two runs of the same schedule, one on each side."""

    planned: PlannedPair
    a: RunFigures
    b: RunFigures

    def problems_with(self, primary: Figure) -> tuple[str, ...]:
        """Why the pair does not count; empty: it does."""
        sides = (("A", self.a), ("B", self.b))
        return tuple(f"{name}: {text}" for name, run in sides for text in run.problems_with(primary))


@dataclass(frozen=True, slots=True)
class PositionEffect:
    """How the second run of a pair differs from the first, whichever side it is; in parts of the first.

    A server that answers a repeated schedule from its caches shows here. It costs power, and is no bias.
    """

    difference: float
    p_value: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """B against A.

    Args:
        pairs: those that count; empty for sets of runs that were not made in pairs.
        runs_a, runs_b: the runs that count.
        excluded: why pairs or runs do not count, one line each.
        notes: what a reader should know before believing the figures, one line each.
        stopped_because: why it ended before it was complete; its verdicts then decide nothing. None: it did not.
        shortage: why fewer pairs than planned count although all was tried; None: enough do. What they show is
            shown all the same; what they do not show was not looked for as well as planned.
    """

    name_a: str
    name_b: str
    levels: Levels
    primary: Figure
    judged: tuple[Judged, ...]
    runs_a: tuple[RunFigures, ...]
    runs_b: tuple[RunFigures, ...]
    pairs: tuple[Pair, ...] = ()
    position: PositionEffect | None = None
    excluded: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    stopped_because: str | None = None
    shortage: str | None = None

    @property
    def is_paired(self) -> bool:
        return bool(self.pairs)

    @property
    def primary_judged(self) -> Judged:
        return next(judged for judged in self.judged if judged.is_primary)

    @property
    def exit_code(self) -> int:
        """0: no regression shown; 1: a regression; 2: not measured as planned, or not at all."""
        if self.stopped_because:
            return NOT_MEASURED
        if any(judged.verdict is Verdict.WORSE for judged in self.judged):
            return REGRESSION
        is_measured = self.primary_judged.verdict is not Verdict.NOT_MEASURED
        return NO_REGRESSION if is_measured and not self.shortage else NOT_MEASURED
