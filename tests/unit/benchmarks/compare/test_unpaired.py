from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.compare.unpaired import TwoSamples, smallest_p_value_of

halves = st.integers(-3, 3).map(lambda value: value / 2)


def by_hand(a: list[float], b: list[float]) -> float:
    """P(rank sum of b >= observed) by writing down every choice of b's places."""
    values = [*a, *b]
    ranks = [np.mean([i + 1 for i, s in enumerate(sorted(values)) if s == value]) for value in values]
    observed = sum(ranks[len(a) :])
    sums = [sum(ranks[i] for i in chosen) for chosen in itertools.combinations(range(len(values)), len(b))]
    return float(np.mean([total >= observed - 1e-9 for total in sums]))


@given(st.lists(halves, min_size=1, max_size=5), st.lists(halves, min_size=1, max_size=5))
@settings(deadline=None)
def test_the_tail_is_that_of_all_splits(a: list[float], b: list[float]) -> None:
    assert TwoSamples(tuple(a), tuple(b)).p_above(0.0) == pytest.approx(by_hand(a, b))


@given(st.lists(st.floats(-1, 1, width=32), min_size=4, max_size=14, unique=True), st.integers(2, 7))
@settings(deadline=None)
def test_the_interval_leaves_out_zero_exactly_when_the_test_rejects(values: list[float], num_a: int) -> None:
    a, b = tuple(values[:num_a]), tuple(values[num_a:])
    if not a or not b:
        return
    found = TwoSamples(a, b)
    for confidence in (0.8, 0.95):
        interval = found.interval(confidence)
        is_shown = interval is not None and (interval.low > 0 or interval.high < 0)
        assert is_shown == (found.p_value() <= 1 - confidence + 1e-12)


def test_known_figures() -> None:
    # Hollander, Wolfe and Chicken's water transfer (table 4.1): W = 30 of m = 10, n = 5, two-sided P = 0.2544,
    # estimate -0.305.
    at_term = (0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46)
    earlier = (1.15, 0.88, 0.90, 0.74, 1.21)
    found = TwoSamples(at_term, earlier)
    assert found.p_value() == pytest.approx(0.2544, abs=5e-5)
    assert found.estimate() == pytest.approx(-0.305)


def test_one_run_a_side_shows_nothing() -> None:
    assert smallest_p_value_of(1, 1) == 1.0
    assert TwoSamples((1.0,), (9.0,)).interval(0.9) is None


def test_the_smallest_p_value_is_what_full_separation_gives() -> None:
    found = TwoSamples((1.0, 2.0, 3.0, 4.0), (5.0, 6.0, 7.0, 8.0))
    assert found.p_value() == pytest.approx(smallest_p_value_of(4, 4))


def test_a_side_that_failed_ranks_above_all() -> None:
    found = TwoSamples((0.1, 0.2, 0.3, 0.4, 0.5), (math.inf,) * 5)
    assert found.estimate() == math.inf
    assert found.p_value() == pytest.approx(2 / math.comb(10, 5))


def test_the_level_holds() -> None:
    rng = np.random.default_rng(4)
    alarms = [
        TwoSamples(tuple(rng.standard_t(3, 6)), tuple(rng.standard_t(3, 6))).p_value() <= 0.05
        for _ in range(2000)
    ]
    assert np.mean(alarms) <= 0.065


def test_the_detectable_difference_grows_with_the_noise() -> None:
    rng = np.random.default_rng(5)
    calm = TwoSamples(tuple(rng.normal(0, 0.01, 8)), tuple(rng.normal(0, 0.01, 8)))
    loud = TwoSamples(tuple(rng.normal(0, 0.1, 8)), tuple(rng.normal(0, 0.1, 8)))
    small, large = (found.detectable(0.01, 0.9, rng) for found in (calm, loud))
    assert small is not None
    assert large is not None
    assert 4 * small < large
