"""A sweep for the terminal: a line a point while it goes on, and the result at its end."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from benchmarks.report.wording import number, share
from benchmarks.sweep.points import Point
from benchmarks.sweep.report import sentences
from benchmarks.sweep.result import Sweep


def sweep_text(sweep: Sweep) -> RenderableType:
    """For rich: all points by rate, then the limits."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("offered/s", "answered/s", "goodput/s", "met", "ttft p50", "ttft p95", "errors"):
        table.add_column(name, justify="right")
    table.add_column("")
    for point in sorted(sweep.points, key=lambda point: point.rate_rps):
        ttft = point.latencies_ms.get("ttft", {})
        table.add_row(
            f"{point.rate_rps:g}",
            number(point.throughput_rps),
            number(point.goodput_rps),
            share(point.attainment),
            number(ttft.get("p50")),
            number(ttft.get("p95")),
            f"{point.num_errors:,}",
            "invalid" if point.problems else state(point),
        )
    return Group(table, Text(), *(Text(line) for line in sentences(sweep)))


def state(point: Point) -> str:
    """What the point says of its rate."""
    if point.was_interrupted:
        return "interrupted"
    if point.problems:
        return f"invalid: {point.problems[0]}"
    if not point.is_sustained:
        return "over-saturated" if point.is_saturated else "not sustained: too many errors"
    if point.objective is None:
        return "sustained" if point.is_saturated is False else "sustained, as far as can be told"
    return "attained" if point.is_attained else "sustained, objectives missed"
