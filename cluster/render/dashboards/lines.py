"""Lines of a panel: the PromQL and what a line is called, made together so that both name the same labels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from cluster.render.queries import Queries
from serve_app.telemetry.metrics import Metric

Lines = dict[str, str]  # what a line is called, labels in double braces -> PromQL


def each(
    by: str, expr: str, said: str = "", *, how: Literal["sum", "max"] = "sum", legend: str | None = None
) -> Lines:
    """A line for each set of these labels.

    Args:
        by: labels, with commas between them.
        said: what stands behind them in the line's name.
        legend: the line's name, where it is not the labels one after the other.
    """
    labels = " ".join(f"{{{{{label}}}}}" for label in by.split(", "))
    return {legend or f"{labels} {said}".rstrip(): f"{how} by ({by}) ({expr})"}


def total(expr: str, said: str) -> Lines:
    """One line over everything."""
    return {said: f"sum({expr})"}


def quantiles(
    ask: Queries, shares: Iterable[float], histogram: Metric | str, *matchers: str, by: str = ""
) -> Lines:
    """A line for each quantile, of each value of the label `by`: `{{model}} p95`."""
    labels, said = ((by,), f"{{{{{by}}}}} ") if by else ((), "")
    return {
        f"{said}p{share * 100:g}": ask.quantile(share, histogram, *matchers, by=labels) for share in shares
    }
