"""Time to the first token, as the server's own clock would have it: without what the request waited to leave."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.metrics.base import RequestMetric
from benchmarks.metrics.ttft import TTFT
from benchmarks.records import Record


def _values(record: Record) -> Sequence[float]:
    if record.first_token_ns is None or record.sent_ns is None:
        return ()
    return ((record.first_token_ns - record.sent_ns) / 1e6,)


TTFT_FROM_SEND = RequestMetric(
    name="ttft_from_send",
    unit="ms",
    better="lower",
    formula="(first_token_ns - sent_ns) / 1e6: from the socket to the first non-empty piece of text. Leaves out "
    "the wait for a connection; stands beside ttft and never instead of it",
    applies=TTFT.applies,
    values=_values,
    undefined="not a stream; never sent; no text came",
)
