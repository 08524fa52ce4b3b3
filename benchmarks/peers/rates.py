"""Which rate to try next, to find the highest that is sustained: a pure function of what was tried.

Up by doubling until a rate fails, down by halving if the first fails, then halving the logarithmic bracket.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RateRange:
    """Where to search.

    Args:
        first_rps: tried first.
        min_rps, max_rps: never beyond.
        precision: relative width at which the bracket is narrow enough; 0.1 is 10 %.
    """

    first_rps: float = 100.0
    min_rps: float = 12.5
    max_rps: float = 6400.0
    precision: float = 0.12


@dataclass(frozen=True, slots=True)
class Bracket:
    """The highest rate that passed, and the lowest above it that failed; None: there is none."""

    passed_rps: float | None
    failed_rps: float | None


def bracket(is_passed: Mapping[float, bool]) -> Bracket:
    """A failure below a pass is the machine's: a neighbour can spoil a run, and nothing can make one too good."""
    passed = max((rate for rate, is_good in is_passed.items() if is_good), default=None)
    failed = [
        rate for rate, is_good in is_passed.items() if not is_good and (passed is None or rate > passed)
    ]
    return Bracket(passed, min(failed, default=None))


def next_rate(is_passed: Mapping[float, bool], limits: RateRange) -> float | None:
    """None: the answer is as precise as asked, or beyond the range.

    Args:
        is_passed: rate -> whether it was sustained.
    """
    found = bracket(is_passed)
    if found.passed_rps is None and found.failed_rps is None:
        return limits.first_rps
    if found.failed_rps is None:
        assert found.passed_rps is not None
        return None if found.passed_rps >= limits.max_rps else min(2 * found.passed_rps, limits.max_rps)
    if found.passed_rps is None:
        return None if found.failed_rps <= limits.min_rps else max(found.failed_rps / 2, limits.min_rps)
    if found.failed_rps / found.passed_rps <= 1 + limits.precision:
        return None
    middle = _rounded(math.sqrt(found.passed_rps * found.failed_rps))
    return middle if found.passed_rps < middle < found.failed_rps else None


def _rounded(rate_rps: float) -> float:
    """To two digits, so that tables show what was run."""
    return float(f"{rate_rps:.2g}")
