"""What several metrics ask of a record."""

from __future__ import annotations

from benchmarks.records import Outcome, Record

_NO_ERROR = frozenset({Outcome.OK, Outcome.ABANDONED, Outcome.INTERRUPTED})
# The request did not end by itself: its user left as planned, or the run was stopped.
_CUT_SHORT = frozenset({Outcome.ABANDONED, Outcome.INTERRUPTED})


def was_asked(record: Record) -> bool:
    """Whether the server had anything to do with it: not when the run was stopped before it left.

    One that was in flight when the run was stopped counts: leaving it out would favour slow servers.
    """
    return record.outcome is not Outcome.INTERRUPTED or record.sent_ns is not None


def is_error(record: Record) -> bool:
    return record.outcome not in _NO_ERROR


def was_cut_short(record: Record) -> bool:
    """Whether it was the client that ended it, so that how it would have gone on is unknown."""
    return record.outcome in _CUT_SHORT


def num_tokens(record: Record) -> int | None:
    """Tokens of the answer: the server's count, else the client's for a stream, else None."""
    if record.num_output_tokens is not None:
        return record.num_output_tokens
    return record.num_pieces if record.is_stream else None


def should_have_gaps(record: Record) -> bool:
    """Whether there should be time between its tokens.

    Not for an answer of one token or none, nor for one that was cut short before the second. For a failed one
    whatever was planned: it should have had them.
    """
    if not record.is_stream or not was_asked(record):
        return False
    if is_error(record):
        return record.num_planned_output_tokens is None or record.num_planned_output_tokens > 1
    return record.num_pieces > 1
