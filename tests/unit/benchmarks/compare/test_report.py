from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice

import numpy as np
import pytest

from benchmarks.compare.comparison import Comparison, Pair
from benchmarks.compare.conclude import compare_pairs
from benchmarks.compare.decide import Levels
from benchmarks.compare.figures import Latencies, RunFigures
from benchmarks.compare.plan import plan_pairs
from benchmarks.compare.report import decisive, report_of, sentence


def compared(
    a: Sequence[dict[str, float | None]], b: Sequence[dict[str, float | None]], margin: float | None = None
) -> Comparison:
    latencies = (Latencies("ttft", (1.0, 2.0), 3),)
    pairs = [
        Pair(planned, RunFigures(one, latencies=latencies), RunFigures(other, latencies=latencies))
        for planned, one, other in zip(islice(plan_pairs(1), 1, 99), a, b, strict=False)
    ]
    return compare_pairs(pairs, ("old", "new"), Levels(margin=margin), np.random.default_rng(1))


def noisy(ttft_ms: float, error_rate: float = 0.0, seed: int = 1) -> list[dict[str, float | None]]:
    rng = np.random.default_rng(seed)
    return [
        {"ttft_p50": ttft_ms * math.exp(rng.normal(0, 0.01)), "error_rate": error_rate * (1 + i / 100)}
        for i in range(12)
    ]


def test_a_regression_is_said_in_one_sentence() -> None:
    comparison = compared(noisy(20.0), noisy(25.0, seed=2))
    assert sentence(comparison).startswith("ttft p50 of new is worse: +2")
    report = report_of(comparison, "old and new", {})
    assert report.finding == "worse"
    assert report.num_pairs == 12
    assert report.confidence == 0.99
    row = report.rows[0]
    assert row.is_primary
    assert (row.a, row.b) == pytest.approx((20.0, 25.0), rel=0.02)
    assert len(row.pair_differences) == 12
    assert row.low is not None
    assert row.low > 0.2


def test_no_difference_comes_with_what_would_have_been_found() -> None:
    text = sentence(compared(noisy(20.0), noisy(20.0, seed=2)))
    assert text.startswith("no difference of ttft p50 is shown (")
    assert text.endswith("% would have been")


def test_equivalence_names_its_margin() -> None:
    text = sentence(compared(noisy(20.0), noisy(20.0, seed=2), margin=0.05))
    assert text.startswith("ttft p50 of new is equivalent: ")
    assert text.endswith("within 5.0%")


def test_what_fails_a_build_is_what_is_said() -> None:
    comparison = compared(noisy(20.0), noisy(20.0, error_rate=0.05, seed=2))
    assert decisive(comparison).figure.name == "error_rate"
    assert sentence(comparison) == "error rate of new is worse: +5.3 of 100 requests"


def test_a_side_that_only_fails_has_no_figures() -> None:
    failing: list[dict[str, float | None]] = [{"ttft_p50": math.inf, "error_rate": 1.0}] * 12
    comparison = compared(noisy(20.0), failing)
    assert "so many requests failed" in sentence(comparison)
    row = report_of(comparison, "old and new", {}).rows[0]
    assert (row.b, row.difference, row.low) == (None, None, None)
    assert row.finding == "worse"


def test_nothing_measured_is_said_so() -> None:
    report = report_of(compared([], []), "old and new", {})
    assert report.finding == "not measured"
    assert report.verdict.startswith("nothing can be said")


def test_curves_are_of_all_runs_together() -> None:
    (ttft,) = report_of(compared(noisy(20.0), noisy(20.0)), "old and new", {}).distributions
    assert (len(ttft.values_a), ttft.num_a) == (24, 36)


def test_too_few_pairs_for_the_other_figures_are_named() -> None:
    comparison = compared(noisy(20.0)[:8], noisy(20.0, seed=2)[:8])
    assert not comparison.notes  # one other figure needs no more than the primary one
    several = [{**run, "e2e_p50": 100.0 + i, "ttft_p95": 30.0 + i} for i, run in enumerate(noisy(20.0)[:8])]
    (note,) = compared(several, several[::-1]).notes
    assert note == "only the primary figure can be shown to differ with 8 pairs; the others need 10"
