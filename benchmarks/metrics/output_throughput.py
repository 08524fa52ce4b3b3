"""Tokens of answers a second, twice: by the server's usage, and by what the client saw."""

from __future__ import annotations

from benchmarks.metrics.base import RunMetric, Window
from benchmarks.metrics.delivered import share_within
from benchmarks.records import Outcome, Record


def _has_text(record: Record) -> bool:
    return record.num_pieces > 0 or record.num_planned_output_tokens is not None


def _by_usage(window: Window) -> float | None:
    if window.seconds <= 0:
        return None
    known = [record for record in window.all_records if record.num_output_tokens is not None]
    # A sum over some of the answers would be too small, and nobody could see it.
    is_partial = any(
        record.num_output_tokens is None and record.outcome is Outcome.OK and _has_text(record)
        for record in window.all_records
    )
    if not known or is_partial:
        return None
    tokens = sum((record.num_output_tokens or 0) * share_within(record, window) for record in known)
    return tokens / window.seconds


def _by_client(window: Window) -> float | None:
    streams = [record for record in window.all_records if record.is_stream]
    if window.seconds <= 0 or not streams:
        return None
    return sum(record.num_pieces * share_within(record, window) for record in streams) / window.seconds


OUTPUT_THROUGHPUT = RunMetric(
    name="output_throughput",
    unit="tokens/s",
    better="higher",
    formula="num_output_tokens by the server's usage, times the share of the answer's pieces that came in the "
    "window, whenever the request arrived / seconds of the window. Answers without usage, because they failed or "
    "were abandoned, add nothing",
    value=_by_usage,
    undefined="no usage, or a complete answer without one",
)

OUTPUT_THROUGHPUT_BY_CLIENT = RunMetric(
    name="output_throughput_by_client",
    unit="tokens/s",
    better="higher",
    formula="non-empty pieces of text of streams that came in the window, whenever the request arrived / seconds of "
    "the window; with several tokens in a piece it is less than the server's count",
    value=_by_client,
    undefined="no streams",
)
