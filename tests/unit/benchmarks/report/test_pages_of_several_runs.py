"""Sweeps, comparisons and suites."""

from __future__ import annotations

import math
from typing import Any

import pytest

from benchmarks.report.comparison_page import render_comparison
from benchmarks.report.inputs import (
    ComparedDistribution,
    ComparisonReport,
    ComparisonRow,
    Finding,
    ObjectiveRow,
    SuiteReport,
    SuiteRow,
    SweepPoint,
    SweepReport,
)
from benchmarks.report.page import write_comparison_report, write_suite_report, write_sweep_report
from benchmarks.report.suite_page import render_suite
from benchmarks.report.sweep_page import render_sweep
from configs.workload import Workload

EVIL = "<img src=x onerror=alert(1)>"
WORKLOAD = Workload.model_validate({"name": "w", "objectives": {"ttft_ms": 200, "attainment": 0.9}})
SETTINGS = {"target": {"url": "http://user:hunter2@127.0.0.1:8000", "model": "mock"}}


def point(rate_rps: float, **changes: Any) -> SweepPoint:
    fields: dict[str, Any] = {
        "offered_rps": rate_rps,
        "throughput_rps": min(rate_rps, 50.0),
        "goodput_rps": 10.0,
        "attainment": 0.93,
        "latencies_ms": {"ttft": {"p50": 40.0, "p95": 90.0, "p99": None}},
        "num_requests": 100,
        "num_errors": 0,
        "is_saturated": rate_rps > 50,
    }
    return SweepPoint(**(fields | changes))


def sweep(*points: SweepPoint, knee_rps: float | None = 40.0, best_rps: float | None = 20.0) -> SweepReport:
    return SweepReport("my sweep", WORKLOAD, points, knee_rps, best_rps, "60 was not sustained", SETTINGS)


# ---------------------------------------------------------------- sweep


def test_a_sweep_tells_its_knee_and_every_rate_in_order(read_page: Any) -> None:
    page = read_page(render_sweep(sweep(point(60), point(20, link="20/report.html"), point(40))))
    for words in (
        "Keeps up with 40 requests/s",
        "Objectives met up to 20 requests/s",
        "knee 40",
        "All points valid",
    ):
        assert words in page.text
    assert page.text.index("20kept up") < page.text.index("40kept up") < page.text.index("60fell behind")
    assert "20/report.html" in page.links
    assert "hunter2" not in page.text


def test_a_rate_whose_run_was_too_short_is_not_said_to_be_kept_up_with(read_page: Any) -> None:
    short = point(40, is_saturated=None, saturation="requests take up to 2.0 s")
    text = read_page(render_sweep(sweep(point(20), short))).text
    assert "20kept up" in text
    assert "40not judged" in text
    assert "May keep up with 40 requests/s" in text
    assert "too short to tell: requests take up to 2.0 s." in text
    assert "Keeps up with" not in text
    assert "Keeps up with 40" in read_page(render_sweep(sweep(short, point(40)))).text


def test_a_sweep_with_doubtful_points_says_which(read_page: Any) -> None:
    text = read_page(render_sweep(sweep(point(20), point(60, problems=("worker 0 was busy",))))).text
    assert "1 point not valid" in text
    assert "60 requests/s: worker 0 was busy" in text


def test_a_sweep_that_found_nothing_is_no_success(read_page: Any) -> None:
    text = read_page(render_sweep(sweep(point(20), knee_rps=None, best_rps=None))).text
    assert "Capacity not found" in text
    assert "Objectives met at no rate" in text


def test_a_sweep_without_points_and_one_of_failures_only(read_page: Any) -> None:
    assert "60 was not sustained" in read_page(render_sweep(sweep(knee_rps=None))).text
    failed = point(
        20, throughput_rps=None, goodput_rps=None, attainment=None, latencies_ms={}, num_errors=100
    )
    assert "100" in read_page(render_sweep(sweep(failed, knee_rps=None))).text


@pytest.mark.parametrize("link", ["javascript:alert(1)", "https://elsewhere.example/x", "/etc/passwd"])
def test_links_lead_to_files_beside_the_report_only(read_page: Any, link: str) -> None:
    assert link not in read_page(render_sweep(sweep(point(20, link=link)))).links
    suite = SuiteReport("s", (SuiteRow("one", "", (), None, None, None, link),), {})
    assert link not in read_page(render_suite(suite)).links


# ---------------------------------------------------------------- comparison


def row(finding: Finding, difference: float | None = 0.048, **changes: Any) -> ComparisonRow:
    fields: dict[str, Any] = {
        "figure": "ttft p50",
        "unit": "ms",
        "better": "lower",
        "a": 48.0,
        "b": 50.3,
        "difference": difference,
        "low": 0.036,
        "high": 0.060,
        "minimum_detectable": 0.017,
        "finding": finding,
        "pair_differences": (0.04, 0.05, -0.01),
    }
    return ComparisonRow(**(fields | changes))


def comparison(*rows: ComparisonRow, **changes: Any) -> ComparisonReport:
    fields: dict[str, Any] = {
        "title": "old against new",
        "name_a": "http://user:hunter2@127.0.0.1:8000",
        "name_b": "http://127.0.0.1:8001",
        "num_pairs": 3,
        "confidence": 0.99,
        "finding": rows[0].finding if rows else "not measured",
        "verdict": "ttft p50 of http://user:hunter2@127.0.0.1:8000 is worse",
        "rows": rows,
        "settings": SETTINGS,
    }
    return ComparisonReport(**(fields | changes))


def test_a_comparison_tells_what_differs_by_how_much_and_how_surely(read_page: Any) -> None:
    text = read_page(render_comparison(comparison(row("worse", is_primary=True)))).text
    for words in (
        "3 interleaved pairs",
        "+4.8 %",
        "+3.6 to +6.0 %",
        "1.7 %",
        "99 % confidence",
        "worse",
        "ttft p50, ms",
    ):
        assert words in text
    assert "hunter2" not in text


def test_shares_of_requests_differ_by_points(read_page: Any) -> None:
    errors = row("no difference shown", 0.01, figure="error rate", unit="", a=0.002, b=0.012, is_share=True)
    text = read_page(render_comparison(comparison(errors))).text
    assert "+1.0 points" in text
    assert "0.20 %" in text


def test_what_was_not_measured_has_no_figures(read_page: Any) -> None:
    empty = row(
        "not measured",
        None,
        a=None,
        b=None,
        low=None,
        high=None,
        minimum_detectable=None,
        pair_differences=(),
    )
    page = read_page(render_comparison(comparison(empty, num_pairs=0, problems=(EVIL,), notes=("careful",))))
    assert "not measured" in page.text
    assert "made at different times" in page.text
    assert EVIL in page.text
    assert "pairs" not in page.ids


def test_an_infinite_difference_is_drawn_without_breaking(read_page: Any) -> None:
    read_page(
        render_comparison(comparison(row("worse", math.inf, high=math.inf, pair_differences=(0.1, math.inf))))
    )


def test_a_comparison_draws_both_sides(read_page: Any) -> None:
    one = ComparedDistribution("ttft", "ms", [1.0, 2.0, 3.0], 3, [2.0, 3.0], 4)
    text = read_page(
        render_comparison(comparison(row("worse"), distributions=(one,), workload=WORKLOAD))
    ).text
    assert "Time to the first token (ttft)" in text
    assert "2 have no value" in text


# ---------------------------------------------------------------- suite


def test_a_suite_tells_what_passed_what_did_not_and_what_never_ran(make_run: Any, read_page: Any) -> None:
    met, missed = (
        ObjectiveRow("no errors", "0 of 600", is_met=True),
        ObjectiveRow("fast", "900 ms", is_met=False),
    )
    suite = SuiteReport(
        "my suite",
        (
            SuiteRow(
                "steady",
                "A steady load.",
                (met,),
                make_run(),
                None,
                {3.0: "replica killed"},
                "01/report.html",
            ),
            SuiteRow("burst", "A burst.", (met, missed), make_run()),
            SuiteRow("doubtful", EVIL, (met,), make_run(), "worker 0 was busy"),
            SuiteRow("update", "", (), None, "not run: no processes"),
        ),
        {"url": "http://user:hunter2@127.0.0.1:8000", "profile": "local.yaml", "seed": 1},
    )
    page = read_page(render_suite(suite))
    for words in ("1 of 4 passed", "1 scenario missed objectives", "fast: 900 ms", "1 scenario not valid",
                  "1 scenario did not run", "not run: no processes", "replica killed", "local.yaml", EVIL):  # fmt: skip
        assert words in page.text
    assert "hunter2" not in page.text
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert "01/report.html" in page.links
    assert page.attributes.count(("details", "class", "scenario")) == 4


def test_a_suite_where_all_is_well(make_run: Any, read_page: Any) -> None:
    suite = SuiteReport(
        "s", (SuiteRow("steady", "", (ObjectiveRow("a", "b", is_met=True),), make_run(num=50)),), {}
    )
    text = read_page(render_suite(suite)).text
    assert "All scenarios passed" in text
    assert "missed" not in text


def test_reports_are_written_where_they_belong(tmp_path: Any) -> None:
    assert write_sweep_report(tmp_path, sweep(point(20))) == tmp_path / "report.html"
    assert "my sweep" in (tmp_path / "report.html").read_text(encoding="utf-8")
    write_comparison_report(tmp_path, comparison(row("better")))
    assert "old against new" in (tmp_path / "report.html").read_text(encoding="utf-8")
    write_suite_report(tmp_path, SuiteReport("my suite", (), {}))
    assert "my suite" in (tmp_path / "report.html").read_text(encoding="utf-8")
