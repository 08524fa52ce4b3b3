from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.report.scales import Linear, Log, Scale, Tail, Time, around, clock, for_latency, from_zero

positive = st.floats(1e-3, 1e7)


@given(st.lists(positive, min_size=1))
def test_an_axis_for_latencies_holds_the_largest_and_labels_more_than_one_place(values: list[float]) -> None:
    scale = for_latency(values)
    assert scale.high >= max(values) * 0.999
    assert_ticks(scale)


@given(positive)
def test_an_axis_from_zero_ends_above_its_highest_value(highest: float) -> None:
    scale = from_zero(highest)
    assert scale.at(0) == 0
    assert highest <= scale.high * (1 + 1e-9) <= highest * 2.01
    assert_ticks(scale)


@given(st.floats(0.5, 200_000))
def test_time_is_labelled_on_round_moments(span_s: float) -> None:
    scale = Time(0.0, span_s)
    assert_ticks(scale)
    assert scale.ticks()[0][0] == 0
    assert len(scale.ticks()) <= 10


def assert_ticks(scale: Scale) -> None:
    ticks = scale.ticks()
    places = [scale.at(value) for value, _ in ticks]
    assert len(ticks) >= 2
    assert places == sorted(places)
    assert all(0 <= place <= 1 for place in places)
    assert len({words for _, words in ticks}) == len(ticks)


def test_an_axis_is_logarithmic_only_where_the_tail_is_long() -> None:
    assert isinstance(for_latency([10, 11, 30]), Linear)
    assert isinstance(for_latency([10, 11, 3000]), Log)


def test_equal_factors_are_equally_far_apart() -> None:
    scale = Log(1, 1000)
    assert [scale.at(value) for value in (0, 1, 10, 100, 1000, 9999)] == pytest.approx(
        [0, 0, 1 / 3, 2 / 3, 1, 1]
    )


def test_each_further_nine_takes_the_same_room() -> None:
    scale = Tail(4)
    assert [scale.at(value) for value in (0.0, 0.9, 0.99, 0.999, 0.9999)] == pytest.approx(
        [0, 0.25, 0.5, 0.75, 1]
    )
    assert [words for _, words in scale.ticks()] == ["p50", "p90", "p95", "p99", "p99.9", "p99.99"]


def test_a_short_tail_promises_no_nines_that_it_does_not_have() -> None:
    assert [words for _, words in Tail(math.log10(30)).ticks()] == ["p50", "p90", "p95"]


def test_around_holds_zero() -> None:
    for low, high in ((-3.0, -1.0), (1.0, 4.0), (-2.0, 3.0), (0.0, 0.0)):
        scale = around(low, high)
        assert scale.low <= min(low, 0) <= max(high, 0) <= scale.high


def test_clocks() -> None:
    assert clock(5, 1) == "5 s"
    assert clock(90, 30) == "1:30"
    assert clock(7325, 900) == "2:02:05"
