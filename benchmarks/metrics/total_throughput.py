"""Tokens of prompts and answers a second, by the server's usage."""

from __future__ import annotations

from benchmarks.metrics.base import RunMetric, Window
from benchmarks.metrics.delivered import share_within
from benchmarks.records import Outcome


def _value(window: Window) -> float | None:
    if window.seconds <= 0:
        return None
    known = [record for record in window.all_records if record.num_prompt_tokens is not None]
    is_partial = any(
        record.num_prompt_tokens is None and record.outcome is Outcome.OK for record in window.all_records
    )
    if not known or is_partial:
        return None
    total = 0.0
    for record in known:
        # By its first token a prompt has been processed.
        read_ns = record.end_ns if record.first_token_ns is None else record.first_token_ns
        total += (record.num_prompt_tokens or 0) * window.holds(read_ns)
        total += (record.num_output_tokens or 0) * share_within(record, window)
    return total / window.seconds


TOTAL_THROUGHPUT = RunMetric(
    name="total_throughput",
    unit="tokens/s",
    better="higher",
    formula="output_throughput's tokens, and num_prompt_tokens of the requests whose first token (without a stream: "
    "whose end) came in the window / seconds of the window",
    value=_value,
    undefined="no usage, or an answered request without one",
)
