"""How long a new connection took, of the requests that needed one."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.metrics.base import RequestMetric
from benchmarks.records import Record


def _applies(record: Record) -> bool:
    return record.connect_ns is not None


def _values(record: Record) -> Sequence[float]:
    return () if record.connect_ns is None else (record.connect_ns / 1e6,)


CONNECT_TIME = RequestMetric(
    name="connect_time",
    unit="ms",
    better="lower",
    formula="connect_ns / 1e6: TCP and TLS, of requests that opened a connection; part of ttft and e2e",
    applies=_applies,
    values=_values,
    undefined="the request went out on a connection kept alive, or got none",
)
