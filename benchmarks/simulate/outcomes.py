"""A simulated request as the record that a real one would have left."""

from __future__ import annotations

import itertools

from benchmarks.records import Outcome, Record
from benchmarks.simulate.stack.replica import Request

_STATUS = {Outcome.OK: 200, Outcome.STREAM_ERROR: 200, Outcome.REFUSED: 429, Outcome.HTTP_ERROR: 503}


def record_of(request: Request, entry: str) -> Record:
    """Its record. The request has ended."""
    assert request.outcome is not None
    assert request.ended_s is not None
    is_ok = request.outcome is Outcome.OK
    intended_ns = _ns(request.arrived_s)
    return Record(
        index=request.index,
        entry=entry,
        worker=0,
        outcome=request.outcome,
        intended_ns=intended_ns,
        end_ns=_ns(request.ended_s),
        is_stream=True,
        sent_ns=intended_ns,
        first_token_ns=None if request.first_s is None else _ns(request.first_s),
        last_token_ns=None if request.last_s is None else _ns(request.last_s),
        gaps_us=_gaps_us(request.token_times_s),
        num_pieces=request.num_made,
        # A server says its counts at the end of an answer.
        num_prompt_tokens=request.num_prompt if is_ok else None,
        num_output_tokens=request.num_made if is_ok else None,
        num_planned_prompt_tokens=request.num_prompt,
        num_planned_output_tokens=request.num_output,
        status=_STATUS.get(request.outcome),
    )


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)


def _gaps_us(times_s: list[float]) -> list[int]:
    return [round((after - before) * 1e6) for before, after in itertools.pairwise(times_s)]
