"""Time to the end of the answer, without what the request waited to leave."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.metrics.base import RequestMetric
from benchmarks.metrics.e2e import E2E
from benchmarks.records import Outcome, Record


def _values(record: Record) -> Sequence[float]:
    if record.outcome is not Outcome.OK or record.sent_ns is None:
        return ()
    return ((record.end_ns - record.sent_ns) / 1e6,)


E2E_FROM_SEND = RequestMetric(
    name="e2e_from_send",
    unit="ms",
    better="lower",
    formula="(end_ns - sent_ns) / 1e6: from the socket to the last byte of the answer; stands beside e2e",
    applies=E2E.applies,
    values=_values,
    undefined="the request failed, or its user left before the end",
)
