"""The metrics as a table for the documentation, made from their own words."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.metrics.base import RequestMetric, RunMetric
from benchmarks.metrics.catalogue import REQUEST_METRICS, RUN_METRICS

_HEAD = ("| metric | unit | better | formula | no value |", "|---|---|---|---|---|")


_INTRO = """# Metrics

Generated from `benchmarks/metrics` by `make docs`; do not edit. Names in the formulas are fields of a record
(`benchmarks/records.py`); times are nanoseconds. A value that is not defined is absent, never 0. A request that should
have a value and has none, because it failed first, ranks as worse than every value in percentiles.
"""


def render() -> str:
    """The page as Markdown: a table for metrics of a request, one for metrics of a run."""
    return "\n".join(
        (
            _INTRO,
            "Of each request:",
            "",
            *_table(REQUEST_METRICS),
            "",
            "Of a run:",
            "",
            *_table(RUN_METRICS),
            "",
        )
    )


def _table(metrics: Iterable[RequestMetric | RunMetric]) -> list[str]:
    return [*_HEAD, *map(_row, metrics)]


def _row(metric: RequestMetric | RunMetric) -> str:
    cells = (f"`{metric.name}`", metric.unit, metric.better, metric.formula, metric.undefined)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    print(render(), end="")
