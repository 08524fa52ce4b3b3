"""How late the client itself was: between a request's intended arrival and its bytes on the socket.

The time of a new connection is the server's and the network's, and stands by itself as `connect_time`.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.metrics.base import RequestMetric
from benchmarks.records import Record


def delay_ms(record: Record) -> float | None:
    """Milliseconds, at least 0; None if it was never sent, or sent twice.

    A request that the server's closed connection made the client send again was not late by the client's fault.
    """
    if record.sent_ns is None or record.is_resent:
        return None
    return max(0.0, (record.sent_ns - record.intended_ns - (record.connect_ns or 0)) / 1e6)


def _applies(record: Record) -> bool:
    # Later turns are due when an answer has come, a moment that the client makes itself.
    return record.turn == 0 and delay_ms(record) is not None


def _values(record: Record) -> Sequence[float]:
    delay = delay_ms(record)
    return () if delay is None else (delay,)


DISPATCH_DELAY = RequestMetric(
    name="dispatch_delay",
    unit="ms",
    better="lower",
    formula="(sent_ns - intended_ns - connect_ns) / 1e6 of first turns, at least 0; connect_ns is 0 on a connection "
    "kept alive",
    applies=_applies,
    values=_values,
    undefined="a later turn of a session; never sent; sent again because the server had closed the connection",
)
