"""Writes reports beside what they report."""

from __future__ import annotations

from pathlib import Path

from benchmarks.report.inputs import RunLike
from benchmarks.report.run_page import render_run

REPORT = "report.html"


def write_report(run: RunLike) -> Path:
    """Write report.html into the run's folder; returns its path."""
    path = run.folder / REPORT
    path.write_text(render_run(run), encoding="utf-8")
    return path
