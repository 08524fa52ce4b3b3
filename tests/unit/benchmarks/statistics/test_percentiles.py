"""Nothing failed is dropped: percentiles that fall among requests without a value are not known."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.statistics.histogram import Histogram
from benchmarks.statistics.percentiles import LOWER, UPPER, percentiles


def filled(values: list[float]) -> Histogram:
    histogram = Histogram()
    histogram.add(values)
    return histogram


@given(
    values=st.lists(st.integers(min_value=0, max_value=2000), max_size=300),
    num_without=st.integers(min_value=0, max_value=300),
)
def test_failures_rank_above_every_value(values: list[int], num_without: int) -> None:
    exact = sorted([float(value) for value in values] + [math.inf] * num_without)
    found = percentiles(filled([float(value) for value in values]), num_without, "lower")
    for percentile, needed in UPPER.items():
        expected = None
        if len(exact) >= needed:
            expected = exact[math.ceil(round(percentile * len(exact) / 100, 9)) - 1]
        if expected is None or math.isinf(expected):
            assert found[f"p{percentile:g}"] is None
        else:
            assert found[f"p{percentile:g}"] == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_ten_percent_failures_leave_no_p95() -> None:
    found = percentiles(filled([10.0] * 900), 100, "lower")
    assert found["p90"] == pytest.approx(10.0, rel=1e-3)
    assert found["p95"] is None
    assert found["p99"] is None


def test_where_more_is_better_failures_rank_below() -> None:
    found = percentiles(filled([float(rate) for rate in range(1, 951)]), 50, "higher")
    assert list(found) == [f"p{percentile:g}" for percentile in LOWER]
    assert found["p5"] is None
    assert found["p1"] is None
    assert found["p10"] == pytest.approx(50.0, rel=1e-3)
    assert found["p50"] == pytest.approx(450.0, rel=1e-3)


@pytest.mark.parametrize(("num", "known"), [(1, 1), (10, 2), (20, 3), (100, 4), (9_999, 4), (10_000, 5)])
def test_a_percentile_needs_samples_beyond_it(num: int, known: int) -> None:
    found = percentiles(filled([1.0] * num), 0, "lower")
    assert sum(value is not None for value in found.values()) == known


def test_nothing_at_all() -> None:
    assert set(percentiles(Histogram(), 0, "lower").values()) == {None}
    assert set(percentiles(Histogram(), 500, "lower").values()) == {None}
