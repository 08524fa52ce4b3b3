"""Requests that were answered, a second.

Answers that outlast the window at its end balance those from before its start. A window that starts with the run
has none from before: it is short of what was in flight at its end, which weighs little in a run much longer than
an answer.
"""

from __future__ import annotations

from benchmarks.metrics.base import RunMetric, Window
from benchmarks.records import Outcome


def _value(window: Window) -> float | None:
    if window.seconds <= 0:
        return None
    ended = sum(record.outcome is Outcome.OK and window.holds(record.end_ns) for record in window.all_records)
    return ended / window.seconds


COMPLETED_RATE = RunMetric(
    name="completed_rate",
    unit="requests/s",
    better="higher",
    formula="requests with outcome ok whose end_ns is in the window, whenever they arrived / seconds of the window. "
    "Below offered_rate the backlog grows",
    value=_value,
    undefined="an empty window",
)
