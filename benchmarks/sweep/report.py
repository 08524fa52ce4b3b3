"""A sweep as its page and the terminal tell it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.report.inputs import SweepPoint, SweepReport
from benchmarks.sweep.points import Point
from benchmarks.sweep.result import Sweep
from benchmarks.sweep.search import Bracket
from configs.workload import Workload

REPORT = "report.html"


def report_of(sweep: Sweep, title: str, settings: Mapping[str, Any], workload: Workload) -> SweepReport:
    """What the page is made of."""
    return SweepReport(
        title=title,
        workload=workload,
        points=[_point(point) for point in sweep.points if not point.was_interrupted],
        knee_rps=sweep.capacity.low_rps,
        best_rps=None if sweep.objectives is None else sweep.objectives.low_rps,
        stopped_because=sweep.stop.reason,
        settings=settings,
    )


def sentences(sweep: Sweep) -> list[str]:
    """The result, a line each."""
    lines = [_limit("sustains", sweep.capacity)]
    if sweep.objectives is not None:
        lines.append(_limit("attains its objectives at", sweep.objectives))
    best = sweep.max_goodput
    if best is not None:
        lines.append(f"most goodput: {best.goodput_rps:.4g} requests/s, offered {best.rate_rps:g}")
    unproved = {point.rate_rps: point.saturation for point in sweep.unproved}
    lines.extend(
        f"not proved: that it keeps up with {rate_rps:g} requests/s ({unproved[rate_rps]})"
        for rate_rps in sorted(unproved)
    )
    return [*lines, f"stopped: {sweep.stop.reason}"]


def _limit(what: str, limit: Bracket) -> str:
    if limit.low_rps is None and limit.high_rps is None:
        return f"nothing says what the server {what}"
    if limit.low_rps is None:
        return f"the server {what} no rate that was measured; the lowest was {limit.high_rps:g} requests/s"
    if limit.high_rps is None:
        return f"the server {what} {limit.low_rps:g} requests/s and perhaps more: no higher rate failed"
    return f"the server {what} {limit.low_rps:g} requests/s, and not {limit.high_rps:g}"


def _point(point: Point) -> SweepPoint:
    return SweepPoint(
        offered_rps=point.rate_rps,
        throughput_rps=point.throughput_rps,
        goodput_rps=point.goodput_rps,
        attainment=point.attainment,
        latencies_ms=point.latencies_ms,
        num_requests=point.num_requests,
        num_errors=point.num_errors,
        is_saturated=point.is_saturated,
        saturation=point.saturation,
        problems=point.problems,
        link=f"{point.folder}/{REPORT}" if point.folder else None,
    )
