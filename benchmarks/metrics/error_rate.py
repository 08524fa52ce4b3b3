"""The share of requests that failed."""

from __future__ import annotations

from benchmarks.metrics.asked import is_error, was_asked
from benchmarks.metrics.base import RunMetric, Window


def _value(window: Window) -> float | None:
    asked = [record for record in window.records if was_asked(record)]
    return sum(map(is_error, asked)) / len(asked) if asked else None


ERROR_RATE = RunMetric(
    name="error_rate",
    unit="share",
    better="lower",
    formula="requests that arrived in the window and ended neither ok nor abandoned nor interrupted / all that "
    "arrived in it, without those that a stopped run never sent; `outcomes` has each kind's count",
    value=_value,
    undefined="no requests",
)
