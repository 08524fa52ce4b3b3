"""The search finds the highest rate that passes."""

from __future__ import annotations

import pytest

from benchmarks.peers.rates import Bracket, RateRange, bracket, next_rate

LIMITS = RateRange(first_rps=100.0, min_rps=10.0, max_rps=5000.0, precision=0.1)


def search(limit_rps: float) -> dict[float, bool]:
    known: dict[float, bool] = {}
    while (rate := next_rate(known, LIMITS)) is not None:
        assert rate not in known
        known[rate] = rate <= limit_rps
    return known


@pytest.mark.parametrize("limit_rps", [11.0, 37.0, 99.0, 100.0, 734.0, 1999.0, 4800.0])
def test_the_bracket_closes_around_the_limit(limit_rps: float) -> None:
    known = search(limit_rps)
    found = bracket(known)
    assert found.passed_rps is not None
    assert found.failed_rps is not None
    assert found.passed_rps <= limit_rps < found.failed_rps
    assert found.failed_rps / found.passed_rps <= 1.13  # two digits of a rate are up to 5 % apart
    assert len(known) < 13


def test_a_limit_beyond_the_range() -> None:
    assert bracket(search(9.0)) == Bracket(None, 10.0)
    assert bracket(search(1e9)) == Bracket(5000.0, None)


def test_a_failure_below_a_pass_was_the_machines() -> None:
    assert bracket({100.0: True, 200.0: False, 400.0: True, 800.0: False}) == Bracket(400.0, 800.0)
