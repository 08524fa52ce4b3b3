"""Percentiles of histograms are order statistics to 0.1 %, and merging loses nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.statistics.histogram import HIGHEST_STEP, Histogram, rank_of

latencies = st.lists(st.floats(min_value=0.0, max_value=7_000_000.0), min_size=1, max_size=300)


def filled(values: list[float]) -> Histogram:
    histogram = Histogram()
    histogram.add(values)
    return histogram


@given(values=latencies, percentile=st.sampled_from([50, 90, 95, 99, 99.9, 10, 1, 100]))
def test_a_percentile_is_the_order_statistic(values: list[float], percentile: float) -> None:
    exact = sorted(values)[math.ceil(round(percentile * len(values) / 100, 9)) - 1]
    found = filled(values).percentile(percentile)
    assert found is not None
    assert exact - 0.0005 <= found <= exact * 1.001 + 0.0005


@given(parts=st.lists(latencies, min_size=1, max_size=4))
def test_merging_is_counting_together(parts: list[list[float]]) -> None:
    merged = Histogram.merged(map(filled, parts))
    together = filled([value for part in parts for value in part])
    assert merged.num == together.num
    assert [merged.value_at_rank(rank) for rank in range(1, merged.num + 1)] == [
        together.value_at_rank(rank) for rank in range(1, merged.num + 1)
    ]


@given(values=latencies)
def test_bulk_is_one_by_one(values: list[float]) -> None:
    single = HdrHistogram(1, HIGHEST_STEP, 3)
    for value in values:
        single.record_value(round(value * 1000))
    bulk = filled(values)
    assert bulk.value_at_rank(bulk.num) * 1000 == pytest.approx(single.get_max_value())
    for percentile in (50, 90, 99):
        rank = single.get_target_count_at_percentile(percentile)
        assert bulk.value_at_rank(rank) * 1000 == pytest.approx(single.get_value_at_percentile(percentile))


@given(values=st.lists(st.floats(min_value=0.0, max_value=7_000_000.0), max_size=50))
def test_the_standard_text_form_comes_back(values: list[float]) -> None:
    histogram = filled(values)
    read = Histogram.decode(histogram.encode())
    assert read.num == histogram.num
    assert Histogram.merged([read, read]).num == 2 * len(values)
    assert [read.percentile(p) for p in (1, 50, 99)] == [histogram.percentile(p) for p in (1, 50, 99)]


def test_the_text_form_is_other_tools_own() -> None:
    other = HdrHistogram.decode(filled([1.0, 2.0, 2.0]).encode())
    assert other.get_total_count() == 3
    assert other.get_value_at_percentile(100) == 2000


@pytest.mark.parametrize("text", ["", "nonsense", "AAAA", HdrHistogram(1, 1000, 2).encode().decode()])
def test_what_is_no_histogram_of_ours_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="HdrHistogram"):
        Histogram.decode(text)


@pytest.mark.parametrize("value", [-0.001, math.nan, -math.inf])
def test_what_is_no_time_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="numbers from 0 on"):
        filled([1.0, value])


def test_what_is_too_long_counts_as_the_longest() -> None:
    assert filled([1e12]).percentile(50) == pytest.approx(HIGHEST_STEP / 1000, rel=1e-3)


def test_nothing_has_no_percentile() -> None:
    assert Histogram().percentile(50) is None
    with pytest.raises(IndexError):
        Histogram().value_at_rank(1)


@pytest.mark.parametrize(
    ("percentile", "num", "rank"),
    [(50, 1, 1), (50, 2, 1), (50, 3, 2), (99, 100, 99), (99.9, 1000, 999), (100, 7, 7)],
)
def test_ranks_are_the_nearest(percentile: float, num: int, rank: int) -> None:
    assert rank_of(percentile, num) == rank


def test_many_values_of_many_magnitudes() -> None:
    values = np.random.default_rng(7).lognormal(3.0, 2.0, 100_000)
    histogram = Histogram()
    for part in np.array_split(values, 7):
        histogram.add(part)
    exact = np.sort(values)
    for percentile in (50, 90, 95, 99, 99.9):
        found = histogram.percentile(percentile)
        assert found == pytest.approx(exact[rank_of(percentile, len(exact)) - 1], rel=1.1e-3)
