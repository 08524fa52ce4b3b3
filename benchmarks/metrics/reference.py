"""The metrics as a table for the documentation, made from their own words."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.metrics.base import RequestMetric, RunMetric
from benchmarks.metrics.catalogue import REQUEST_METRICS, RUN_METRICS

_HEAD = ("| metric | unit | better | formula | no value |", "|---|---|---|---|---|")


def render() -> str:
    """Two Markdown tables: metrics of a request, then metrics of a run."""
    return "\n".join(
        ("Of each request:", "", *_table(REQUEST_METRICS), "", "Of a run:", "", *_table(RUN_METRICS), "")
    )


def _table(metrics: Iterable[RequestMetric | RunMetric]) -> list[str]:
    return [*_HEAD, *map(_row, metrics)]


def _row(metric: RequestMetric | RunMetric) -> str:
    cells = (f"`{metric.name}`", metric.unit, metric.better, metric.formula, metric.undefined)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
