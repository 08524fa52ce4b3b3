"""Writes reports beside what they report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from benchmarks.report.comparison_page import render_comparison
from benchmarks.report.inputs import ComparisonReport, RunLike, SuiteReport, SweepReport
from benchmarks.report.run_page import render_run
from benchmarks.report.suite_page import render_suite
from benchmarks.report.sweep_page import render_sweep

REPORT = "report.html"


def write_report(run: RunLike, events: Mapping[float, str] | None = None) -> Path:
    """Write report.html into the run's folder; returns its path.

    Args:
        events: seconds after the run's start -> what was done to the server then.
    """
    return _write(run.folder, render_run(run, events))


def write_sweep_report(folder: Path, sweep: SweepReport) -> Path:
    """Write report.html into the sweep's folder; returns its path."""
    return _write(folder, render_sweep(sweep))


def write_comparison_report(folder: Path, comparison: ComparisonReport) -> Path:
    """Write report.html into the comparison's folder; returns its path."""
    return _write(folder, render_comparison(comparison))


def write_suite_report(folder: Path, suite: SuiteReport) -> Path:
    """Write report.html into the suite's folder; returns its path."""
    return _write(folder, render_suite(suite))


def _write(folder: Path, page: str) -> Path:
    path = folder / REPORT
    path.write_text(page, encoding="utf-8")
    return path
