"""Which rate comes next: a pure function of what was measured so far.

Doubling until the server falls behind, then halving the logarithmic bracket: first around the highest rate
that is sustained, then around the highest that attains the objectives. A rate fails only when two runs of it
fail: a neighbour on the machine can spoil one run, and a false failure low down would hide everything above.

Knows nothing of runs; a simulated server is as good.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.sweep.points import Point

_SIGNIFICANT_DIGITS = 4  # of rates, so that folders and tables show what was run


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """How to search.

    Args:
        start_rps: the first rate.
        precision: relative width at which a bracket is narrow enough: 0.05 is 5 %.
        min_rps, max_rps: rates outside are not tried.
        max_runs: bound of the whole sweep.
        has_objectives: whether there is a second bracket to look for.
    """

    start_rps: float = 1.0
    precision: float = 0.05
    min_rps: float = 0.01
    max_rps: float = 100_000.0
    max_runs: int = 40
    has_objectives: bool = False


Cause = Literal["complete", "bound", "client", "gone", "interrupted", "running"]


@dataclass(frozen=True, slots=True)
class Stop:
    """There is no next rate.

    Args:
        reason: one sentence for a reader.
        cause: what a caller does differently. "complete": the question is answered as precisely as asked.
            "bound": a setting ended it. "client": the client, not the server, was at its limit. "gone": the
            server answers nothing any more.
    """

    reason: str
    cause: Cause

    @property
    def is_complete(self) -> bool:
        return self.cause == "complete"


@dataclass(frozen=True, slots=True)
class Bracket:
    """Where a limit lies: at or above `low_rps`, below `high_rps`. None: no such rate was measured."""

    low_rps: float | None
    high_rps: float | None


Test = Callable[[Point], bool]


def next_rate(points: Sequence[Point], settings: SearchSettings) -> float | Stop:
    """The rate to run next; the same as the last when it needs to be repeated."""
    if not points:
        return _rounded(settings.start_rps)
    stop = stop_early(points) or _client_is_spent(points)
    if stop is not None:
        return stop
    if len(points) >= settings.max_runs:
        return Stop(f"{settings.max_runs} runs were made, which is the bound", "bound")
    latest = points[-1].rate_rps
    tests = [is_sustained, is_attained] if settings.has_objectives else [is_sustained]
    if any(_is_passed(points, latest, test) is None for test in tests):
        return latest
    found = _search(points, settings, is_sustained, "sustained")
    if found is None and settings.has_objectives:
        found = _search(points, settings, is_attained, "within the objectives")
    if found is None:
        return Stop(f"every limit is known within {settings.precision:.0%}", "complete")
    return found


def next_listed_rate(points: Sequence[Point], rates_rps: Sequence[float]) -> float | Stop:
    """The next of a list of rates, in ascending order, until one is more than the server sustains."""
    if points:
        stop = stop_early(points)
        if stop is not None:
            return stop
        latest = points[-1]
        if not latest.is_valid:
            return _client_limit(latest)
        if latest.is_saturated:
            reason = f"the server fell behind at {latest.rate_rps:g} requests/s; higher rates were not tried"
            return Stop(reason, "complete")
    ascending = sorted(set(rates_rps))
    if len(points) == len(ascending):
        return Stop("every listed rate was measured", "complete")
    return ascending[len(points)]


def stop_early(points: Sequence[Point]) -> Stop | None:
    """Why no further rate makes sense after the latest point, whatever the plan."""
    latest = points[-1]
    if latest.was_interrupted:
        return Stop("interrupted", "interrupted")
    if latest.has_failed_wholly:
        return Stop(
            f"every request failed at {latest.rate_rps:g} requests/s; is the server still there?", "gone"
        )
    return None


def is_sustained(point: Point) -> bool:
    return point.is_sustained


def is_attained(point: Point) -> bool:
    return point.is_attained


def bracket(points: Sequence[Point], test: Test) -> Bracket:
    """Around the limit of a test, by all valid runs of each rate.

    A pass above the lowest failure is taken for luck, and a failure that nobody repeated (the sweep ended, or
    ran a list) for one.
    """
    rates = sorted({point.rate_rps for point in points if point.is_valid})
    votes = {rate: _votes(points, rate, test) for rate in rates}
    high = next((rate for rate in rates if votes[rate].count(False) >= votes[rate].count(True)), None)
    passed = [rate for rate in rates if high is None or rate < high]
    return Bracket(max(passed, default=None), high)


def _is_passed(points: Sequence[Point], rate_rps: float, test: Test) -> bool | None:
    """What the valid runs of a rate say; None: another one is needed."""
    votes = _votes(points, rate_rps, test)
    num_passed, num_failed = votes.count(True), votes.count(False)
    if num_failed >= 2:
        return False
    if num_passed > num_failed:
        return True
    return None


def _votes(points: Sequence[Point], rate_rps: float, test: Test) -> list[bool]:
    return [test(point) for point in points if point.rate_rps == rate_rps and point.is_valid]


def _search(points: Sequence[Point], settings: SearchSettings, test: Test, what: str) -> float | Stop | None:
    """The next rate for one limit; None: it is known."""
    found = bracket(points, test)
    rates = [point.rate_rps for point in points]
    if found.high_rps is None:
        if max(rates) >= settings.max_rps:
            return Stop(f"{settings.max_rps:g} requests/s are {what}, and more were not to be tried", "bound")
        return min(_rounded(2 * max(rates)), settings.max_rps)
    if found.low_rps is None:
        if min(rates) <= settings.min_rps:
            return Stop(f"not even {min(rates):g} requests/s are {what}", "bound")
        return max(_rounded(min(rates) / 2), settings.min_rps)
    middle = _rounded(math.sqrt(found.low_rps * found.high_rps))
    is_narrow = found.high_rps / found.low_rps <= 1 + settings.precision
    return None if is_narrow or middle in (found.low_rps, found.high_rps) else middle


def _client_is_spent(points: Sequence[Point]) -> Stop | None:
    """Two invalid runs of a rate, with no valid one, are the client's limit. One may be a disturbance."""
    latest = points[-1]
    at_rate = [point for point in points if point.rate_rps == latest.rate_rps]
    num_invalid = sum(not point.is_valid for point in at_rate)
    return _client_limit(latest) if not latest.is_valid and num_invalid >= 2 else None


def _client_limit(point: Point) -> Stop:
    return Stop(
        f"the client cannot offer {point.rate_rps:g} requests/s honestly ({point.problems[0]}); this is not the "
        "server's limit",
        "client",
    )


def _rounded(rate_rps: float) -> float:
    return float(f"{rate_rps:.{_SIGNIFICANT_DIGITS}g}")
