from __future__ import annotations

import math

import pytest

from benchmarks.compare.figures import figure_named


def test_latencies_are_compared_as_ratios() -> None:
    assert figure_named("ttft_p50").difference(20.0, 30.0) == pytest.approx(math.log(1.5))


def test_shares_are_subtracted() -> None:
    assert figure_named("error_rate").difference(0.0, 0.25) == 0.25


def test_what_one_side_does_not_have_is_no_difference() -> None:
    assert figure_named("ttft_p50").difference(None, 30.0) is None
    assert figure_named("ttft_p50").difference(30.0, None) is None


def test_a_percentile_of_failures_is_worse_than_any() -> None:
    ttft = figure_named("ttft_p50")
    assert ttft.difference(20.0, math.inf) == math.inf
    assert ttft.difference(math.inf, 20.0) == -math.inf
    assert ttft.difference(math.inf, math.inf) is None


def test_no_throughput_at_all_is_infinitely_less() -> None:
    throughput = figure_named("completed_rate")
    assert throughput.difference(10.0, 0.0) == -math.inf
    assert throughput.difference(0.0, 0.0) == 0.0
    assert throughput.in_parts(-math.inf) == -1.0
