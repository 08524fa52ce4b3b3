"""By how much the length of an answer missed the plan: a test of the test, not of the server's speed."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.metrics.asked import num_tokens
from benchmarks.metrics.base import RequestMetric
from benchmarks.records import Outcome, Record


def _applies(record: Record) -> bool:
    is_planned = record.num_planned_output_tokens is not None
    return is_planned and record.outcome is Outcome.OK and num_tokens(record) is not None


def _values(record: Record) -> Sequence[float]:
    tokens, planned = num_tokens(record), record.num_planned_output_tokens
    return () if tokens is None or planned is None else (float(abs(tokens - planned)),)


OUTPUT_LENGTH_ERROR = RequestMetric(
    name="output_length_error",
    unit="tokens",
    better="lower",
    formula="abs(n - num_planned_output_tokens); n is num_output_tokens by the server's usage, or num_pieces where "
    "there is none",
    applies=_applies,
    values=_values,
    undefined="nothing was planned; the answer is not complete; nobody counted its tokens",
)
