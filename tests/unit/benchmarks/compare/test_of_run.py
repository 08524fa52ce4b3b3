from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from benchmarks.compare.figures import figure_named
from benchmarks.compare.of_run import figures_of
from benchmarks.run.execute import INTERRUPTED, Run
from configs.workload import ClosedLoop, Workload

MakeRun = Callable[..., Run]


def test_every_figure_of_a_stream_is_read(made_run: MakeRun) -> None:
    figures = figures_of(made_run([20.0] * 60 + [40.0] * 40))
    assert figures.values == pytest.approx(
        {
            "ttft_p50": 20.0,
            "ttft_p95": 40.0,
            "e2e_p50": 30.1,
            "e2e_p95": 50.1,
            "itl_p50": 5.0,
            "tpot_p50": 5.0,
            "completed_rate": 10.0,
            "error_rate": 0.0,
        },
        rel=0.002,
    )
    assert not figures.problems
    assert not figures.doubts
    assert figures.is_saturated is False


def test_a_percentile_of_failed_requests_is_infinite(made_run: MakeRun) -> None:
    figures = figures_of(made_run([20.0] * 80 + [None] * 20))
    assert figures.values["ttft_p50"] == pytest.approx(20.0, rel=0.002)
    assert figures.values["ttft_p95"] == math.inf
    assert figures.values["error_rate"] == pytest.approx(0.2)


def test_a_percentile_of_too_few_requests_is_not_defined(made_run: MakeRun) -> None:
    assert figures_of(made_run([20.0] * 10)).values["ttft_p95"] is None


def test_a_closed_loop_has_no_latencies_to_compare(made_run: MakeRun) -> None:
    workload = Workload(warm_up_s=0.0, arrivals=ClosedLoop(process="closed", concurrency=4))
    figures = figures_of(made_run([20.0] * 50, workload=workload))
    assert set(figures.values) == {"completed_rate", "error_rate"}
    assert not figures.latencies


def test_a_late_client_is_doubted_where_it_matters_and_nowhere_else(made_run: MakeRun) -> None:
    figures = figures_of(made_run([2.0] * 50 + [400.0] * 50, lag_ms=3.0))
    assert "ttft_p50" in figures.doubts
    assert "ttft_p95" not in figures.doubts
    assert not figures.problems
    assert figures.value(figure_named("ttft_p50")) is None
    assert figures.problems_with(figure_named("ttft_p50"))
    assert not figures.problems_with(figure_named("ttft_p95"))


def test_a_busy_client_makes_the_whole_run_invalid(made_run: MakeRun) -> None:
    figures = figures_of(made_run([20.0] * 100, cpu=0.99))
    assert len(figures.problems) == 1
    assert "core" in figures.problems[0]


def test_ctrl_c_is_told(made_run: MakeRun) -> None:
    assert figures_of(made_run([20.0] * 50, stopped_because=INTERRUPTED)).was_interrupted
    assert not figures_of(made_run([20.0] * 50)).was_interrupted


def test_curves_count_requests_without_a_value(made_run: MakeRun) -> None:
    ttft, e2e = figures_of(made_run([20.0] * 80 + [None] * 20)).latencies
    assert (ttft.metric, len(ttft.values_ms), ttft.num) == ("ttft", 80, 100)
    assert e2e.metric == "e2e"
