"""Rank tests of trends, against what is known of them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.statistics.trend import hodges_lehmann, mann_kendall_z, signed_rank_z, theil_sen_slope


def test_a_perfect_trend() -> None:
    # S = 45 of 45 pairs; variance 10 * 9 * 25 / 18 = 125.
    assert mann_kendall_z(range(10)) == pytest.approx(44 / math.sqrt(125))
    assert mann_kendall_z(range(10, 0, -1)) == pytest.approx(-44 / math.sqrt(125))
    assert theil_sen_slope([3.0 * step for step in range(10)]) == pytest.approx(3.0)


def test_a_level_series_has_none() -> None:
    assert mann_kendall_z([5.0] * 20) == 0.0
    assert theil_sen_slope([5.0] * 20) == 0.0
    assert signed_rank_z([0.0] * 20) == 0.0


def test_too_little_says_nothing() -> None:
    assert mann_kendall_z([1.0, 2.0]) == 0.0
    assert theil_sen_slope([1.0]) == 0.0
    assert signed_rank_z([]) == 0.0
    with pytest.raises(ValueError, match="no values"):
        hodges_lehmann([])


def test_signed_ranks_by_hand() -> None:
    # Ranks 1 to 5, positive ones sum up to 11: mean 7.5, variance 5 * 6 * 11 / 24 = 13.75.
    assert signed_rank_z([-1.0, 2.0, -2.5, 4.0, 6.0]) == pytest.approx((11 - 7.5) / math.sqrt(13.75))


def test_outliers_hardly_count() -> None:
    series = [10.0] * 9 + [1e9] + [10.0] * 9
    assert theil_sen_slope(series) == 0.0
    assert hodges_lehmann(series) == 10.0
    assert abs(mann_kendall_z(series)) < 0.5


def test_infinite_values_rank_above_all() -> None:
    assert mann_kendall_z([1.0, 2.0, 3.0, math.inf]) == mann_kendall_z([1.0, 2.0, 3.0, 4.0])
    assert math.isfinite(theil_sen_slope([math.inf, math.inf, 1.0, 1.0]))


@pytest.mark.parametrize("test", [mann_kendall_z, signed_rank_z])
def test_noise_alone_is_significant_as_often_as_stated(test) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(3)
    alarms = sum(abs(test(rng.standard_t(3, 30))) > 1.96 for _ in range(1000))
    assert 25 <= alarms <= 75
