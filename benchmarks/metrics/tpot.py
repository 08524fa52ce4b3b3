"""Time per output token after the first, the mean of a request."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.metrics.asked import is_error, num_tokens, should_have_gaps
from benchmarks.metrics.base import RequestMetric
from benchmarks.records import Record


def _applies(record: Record) -> bool:
    if not should_have_gaps(record):
        return False
    # An answer of one token that came in several pieces has no token after the first.
    return is_error(record) or (num_tokens(record) or 0) > 1


def _values(record: Record) -> Sequence[float]:
    tokens = num_tokens(record)
    if is_error(record) or record.first_token_ns is None or record.last_token_ns is None or tokens is None:
        return ()
    return ((record.last_token_ns - record.first_token_ns) / (tokens - 1) / 1e6,) if tokens > 1 else ()


TPOT = RequestMetric(
    name="tpot",
    unit="ms",
    better="lower",
    formula="(last_token_ns - first_token_ns) / (n - 1) / 1e6; n is num_output_tokens by the server's usage, or "
    "num_pieces where there is none",
    applies=_applies,
    values=_values,
    undefined="not a stream; fewer than two tokens or two pieces; the request failed",
)
