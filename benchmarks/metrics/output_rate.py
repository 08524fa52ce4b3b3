"""How fast one request's answer came, all waiting included."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.metrics.asked import num_tokens, was_asked
from benchmarks.metrics.base import RequestMetric
from benchmarks.records import Outcome, Record


def _applies(record: Record) -> bool:
    # Only what has tokens by either count, or should have had some: an embedding has none, though some servers
    # count its 0.
    has_tokens = record.is_stream or bool(record.num_output_tokens)
    return was_asked(record) and (has_tokens or record.num_planned_output_tokens is not None)


def _values(record: Record) -> Sequence[float]:
    tokens = num_tokens(record)
    lasted_s = (record.end_ns - record.intended_ns) / 1e9
    if record.outcome is not Outcome.OK or tokens is None or lasted_s <= 0:
        return ()
    return (tokens / lasted_s,)


OUTPUT_RATE = RequestMetric(
    name="output_rate",
    unit="tokens/s",
    better="higher",
    formula="n / ((end_ns - intended_ns) / 1e9) of each request; n is num_output_tokens by the server's usage, or "
    "num_pieces where there is none. Percentiles are of the slow side: 99 % of the requests are above p1",
    applies=_applies,
    values=_values,
    undefined="the request failed, or its user left; neither the server nor a stream's pieces say how many tokens",
)
