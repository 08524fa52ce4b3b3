from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.compare.paired import PairedDifferences, smallest_p_value

ALPHA = 0.01
PAIRS = 12
T_CRITICAL = 3.106  # two-sided 1 %, 11 degrees of freedom


def by_hand(values: list[float]) -> float:
    """P(rank sum of positives >= observed) by writing down all signs."""
    nonzero = [value for value in values if value]
    sizes = sorted(abs(value) for value in nonzero)
    rank = {size: np.mean([i + 1 for i, s in enumerate(sizes) if s == size]) for size in sizes}
    observed = sum(rank[abs(value)] for value in nonzero if value > 0)
    sums = [
        sum(rank[abs(value)] for value, is_up in zip(nonzero, signs, strict=True) if is_up)
        for signs in itertools.product((False, True), repeat=len(nonzero))
    ]
    return float(np.mean([total >= observed - 1e-9 for total in sums]))


@given(st.lists(st.integers(-4, 4).map(lambda value: value / 2), min_size=1, max_size=8))
@settings(deadline=None)
def test_the_tail_is_that_of_all_signs(values: list[float]) -> None:
    assert PairedDifferences(tuple(values)).p_above(0.0) == pytest.approx(by_hand(values))


@given(st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=14, unique_by=abs))
@settings(deadline=None)
def test_the_interval_leaves_out_zero_exactly_when_the_test_rejects(values: list[float]) -> None:
    if 0.0 in values:
        return
    found = PairedDifferences(tuple(values))
    for confidence in (0.9, 0.95, 0.99):
        interval = found.interval(confidence)
        is_shown = interval is not None and (interval.low > 0 or interval.high < 0)
        assert is_shown == (found.p_value() <= 1 - confidence + 1e-12)


def test_known_figures() -> None:
    # Hollander, Wolfe and Chicken's depression scores (table 3.1): T- = 5 of n = 9, one-sided P = 0.0195,
    # estimate 0.46 in the same direction.
    before = (1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30)
    after = (0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29)
    found = PairedDifferences(tuple(b - a for a, b in zip(before, after, strict=True)))
    assert found.p_below(0.0) == pytest.approx(0.0195, abs=5e-5)
    assert found.estimate() == pytest.approx(-0.46, abs=1e-9)


def test_few_pairs_can_never_show_a_difference() -> None:
    assert smallest_p_value(7) > ALPHA > smallest_p_value(8)
    found = PairedDifferences((0.5,) * 7)
    assert found.p_value() == pytest.approx(smallest_p_value(7))
    assert found.interval(0.99) is None
    assert found.detectable(ALPHA, 0.9, np.random.default_rng(1)) is None


def test_a_side_that_always_fails_is_infinitely_worse_and_that_is_shown() -> None:
    found = PairedDifferences((math.inf,) * 9)
    assert found.estimate() == math.inf
    assert found.p_value() <= ALPHA
    assert found.bootstrap_interval(0.99, np.random.default_rng(1)) is None


def test_one_failed_pair_does_not_decide() -> None:
    found = PairedDifferences((math.inf, 0.01, -0.02, 0.03, -0.01, 0.02, -0.03, 0.015, -0.025))
    assert abs(found.estimate()) < 0.05
    assert found.p_value() > 0.5


def test_pairs_without_any_difference_show_none() -> None:
    found = PairedDifferences((0.0,) * PAIRS)
    assert found.estimate() == 0.0
    assert found.p_value() == 1.0


def test_the_level_holds_whatever_the_noise(
    noise_kind: str, noisy_differences: Callable[[str, int, int], np.ndarray]
) -> None:
    differences = noisy_differences(noise_kind, 4000, PAIRS)
    false_alarms = [PairedDifferences(tuple(row)).p_value() <= ALPHA for row in differences]
    # The exact level is 0.0093 where signs are independent; three standard errors of 4000 trials are 0.0047.
    assert np.mean(false_alarms) <= 0.0147


def test_power_where_a_t_test_loses_it(noisy_differences: Callable[[str, int, int], np.ndarray]) -> None:
    shifted = noisy_differences("bursts", 2000, PAIRS) + 0.1
    ranks = np.mean([PairedDifferences(tuple(row)).p_value() <= ALPHA for row in shifted])
    t = shifted.mean(axis=1) / (shifted.std(axis=1, ddof=1) / math.sqrt(PAIRS))
    assert ranks > np.mean(np.abs(t) > T_CRITICAL) + 0.1


def test_the_bootstrap_alone_would_raise_false_alarms(
    noisy_differences: Callable[[str, int, int], np.ndarray],
) -> None:
    rng = np.random.default_rng(2)
    alarms = []
    for row in noisy_differences("bursts", 300, 10):
        interval = PairedDifferences(tuple(row)).bootstrap_interval(0.95, rng)
        assert interval is not None
        alarms.append(interval.low > 0 or interval.high < 0)
    assert np.mean(alarms) > 0.08


def test_the_detectable_difference_is_found_about_as_often_as_it_says(
    noisy_differences: Callable[[str, int, int], np.ndarray],
) -> None:
    rng = np.random.default_rng(3)
    differences = noisy_differences("normal", 400, PAIRS)
    claims = [PairedDifferences(tuple(row)).detectable(ALPHA, 0.9, rng) for row in differences[:100]]
    typical = float(np.median([claim for claim in claims if claim is not None]))
    found = [PairedDifferences(tuple(row + typical)).p_value() <= ALPHA for row in differences]
    assert 0.84 <= np.mean(found) <= 0.96
