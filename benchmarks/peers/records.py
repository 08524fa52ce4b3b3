"""A run as the results folder keeps it: plain JSON, without the machine's paths."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from benchmarks.peers.measure import Measured
from benchmarks.peers.peer import shown
from benchmarks.peers.truth import Truth
from benchmarks.statistics.samples import sample_percentiles

PERCENTS = (50, 95, 99)


def record_of(measured: Measured) -> dict[str, Any]:
    """All of a run but its requests."""
    reported = None if measured.reported is None else msgspec.to_builtins(measured.reported)
    if reported is not None:
        del reported["ttft_ms"]
    return {
        "tool": measured.tool,
        "load": msgspec.to_builtins(measured.load),
        "command": shown(measured.command, measured.folder),
        "wall_s": round(measured.wall_s, 1),
        "failure": measured.failure,
        "reported": reported,
        "truth": None if measured.truth is None else _truth(measured.truth),
        "stall_s": None if measured.stall is None else _stall_s(measured),
        "server": [msgspec.to_builtins(summary) for summary in measured.server],
    }


def requests_of(measured: Measured) -> dict[str, list[int]]:
    """Every request, in microseconds: how late it arrived, what it waited, and what the tool says it waited.

    The tool's are in the tool's own order.
    """
    truth, reported = measured.truth, measured.reported
    return {
        "late_us": [] if truth is None else _microseconds(truth.late_ms),
        "wait_us": [] if truth is None else _microseconds(truth.wait_ms),
        "reported_ttft_us": [] if reported is None else _microseconds(reported.ttft_ms),
    }


def _truth(truth: Truth) -> dict[str, Any]:
    return {
        "num_due": truth.num_due,
        "num_arrived": truth.num_arrived,
        "num_beyond": truth.num_beyond,
        "rate_rps": None if truth.rate_rps is None else round(truth.rate_rps, 3),
        "late_ms": sample_percentiles(truth.late_ms, PERCENTS),
        "ttft_as_served_ms": sample_percentiles(truth.wait_ms, PERCENTS),
        "ttft_open_loop_ms": sample_percentiles(truth.open_loop_ms, PERCENTS),
    }


def _stall_s(measured: Measured) -> list[float]:
    """When the server stood still, after t0."""
    assert measured.stall is not None
    if measured.truth is None:
        return []
    start_ns = measured.truth.start_ns
    return [round((at - start_ns) / 1e9, 4) for at in (measured.stall.stop_ns, measured.stall.resume_ns)]


def _microseconds(values_ms: Iterable[float]) -> list[int]:
    return [round(float(value) * 1e3) for value in values_ms]
