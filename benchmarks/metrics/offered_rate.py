"""Requests that arrived, a second."""

from __future__ import annotations

from benchmarks.metrics.base import RunMetric, Window


def _value(window: Window) -> float | None:
    return len(window.records) / window.seconds if window.seconds > 0 else None


OFFERED_RATE = RunMetric(
    name="offered_rate",
    unit="requests/s",
    better="higher",
    formula="requests whose intended arrival is in the window / seconds of the window",
    value=_value,
    undefined="an empty window",
)
