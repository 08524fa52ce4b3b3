"""Time to the end of the answer, as the user sees it."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.metrics.asked import was_asked
from benchmarks.metrics.base import RequestMetric
from benchmarks.records import Outcome, Record


def _values(record: Record) -> Sequence[float]:
    if record.outcome is not Outcome.OK:
        return ()
    return ((record.end_ns - record.intended_ns) / 1e6,)


E2E = RequestMetric(
    name="e2e",
    unit="ms",
    better="lower",
    formula="(end_ns - intended_ns) / 1e6: from the intended arrival to the last byte of the answer",
    applies=was_asked,
    values=_values,
    undefined="the request failed, or its user left before the end",
)
