"""Time to the first token, as the user sees it."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.metrics.asked import was_asked
from benchmarks.metrics.base import RequestMetric
from benchmarks.records import Record


def _applies(record: Record) -> bool:
    # One that was abandoned before its first token counts: its user waited and saw nothing.
    return record.is_stream and was_asked(record)


def _values(record: Record) -> Sequence[float]:
    if record.first_token_ns is None:
        return ()
    return ((record.first_token_ns - record.intended_ns) / 1e6,)


TTFT = RequestMetric(
    name="ttft",
    unit="ms",
    better="lower",
    formula="(first_token_ns - intended_ns) / 1e6: from the intended arrival to the first non-empty piece of text",
    applies=_applies,
    values=_values,
    undefined="not a stream; no text came",
)
