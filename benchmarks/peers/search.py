"""The search for the highest rates that one tool sustains, one for each bound of lateness.

Decides by what was run; runs nothing itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.peers.base import LoadTester
from benchmarks.peers.judge import Judgement, judge
from benchmarks.peers.measure import Measured
from benchmarks.peers.rates import Bracket, RateRange, bracket, next_rate

BOUNDS_MS = (10.0, 1.0)  # the loose one first: the other lies at or below it
MAX_TRIES = 3  # of one rate


@dataclass(slots=True)
class Search:
    """Everything that was run of one tool."""

    tool: LoadTester
    limits: RateRange
    runs: list[Measured] = field(default_factory=list)

    def is_passed(self, bound_ms: float) -> dict[float, bool]:
        """Rate -> whether one of its runs was honest; without rates that have to be tried again."""
        known = {}
        for rate in self._rates:
            verdicts = [judge(run, bound_ms) for run in self.runs if run.load.rate_rps == rate]
            is_passed = decide(verdicts)
            if is_passed is not None:
                known[rate] = is_passed
        return known

    def next_rate(self) -> float | None:
        """None: the highest rate is known for every bound."""
        rates = (self.next_rate_for(bound_ms) for bound_ms in BOUNDS_MS)
        return next((rate for rate in rates if rate is not None), None)

    def next_rate_for(self, bound_ms: float) -> float | None:
        """None: it is known."""
        known = self.is_passed(bound_ms)
        found = bracket(known)
        low, high = found.passed_rps or 0.0, found.failed_rps or math.inf
        # Outside the bracket another try would tell nothing.
        again = [rate for rate in self._rates if rate not in known and low < rate < high]
        return min(again) if again else next_rate(known, self.limits)

    @property
    def _rates(self) -> set[float]:
        return {run.load.rate_rps for run in self.runs}

    def bracket(self, bound_ms: float) -> Bracket:
        return bracket(self.is_passed(bound_ms))

    def deciding(self) -> list[Measured]:
        """The runs at the ends of the brackets, one each: those whose every request is kept."""
        found: list[Measured] = []
        for bound_ms in BOUNDS_MS:
            ends = self.bracket(bound_ms)
            passed = [run for run in self._runs_at(ends.passed_rps) if judge(run, bound_ms).is_honest]
            found += passed[:1] + self._runs_at(ends.failed_rps)[-1:]
        return [run for run in self.runs if any(run is one for one in found)]

    def _runs_at(self, rate_rps: float | None) -> list[Measured]:
        return [run for run in self.runs if run.load.rate_rps == rate_rps]


def decide(verdicts: Sequence[Judgement]) -> bool | None:
    """Whether a rate is sustained, by its runs; None: another one is needed.

    One honest run is enough. A rate fails by two runs that tell something of the tool, or by one that missed by
    far; or by MAX_TRIES of any kind.
    """
    if any(verdict.is_honest for verdict in verdicts):
        return True
    telling = [verdict for verdict in verdicts if not verdict.is_void]
    is_failed = len(telling) > 1 or any(verdict.is_far for verdict in telling) or len(verdicts) >= MAX_TRIES
    return False if is_failed else None
