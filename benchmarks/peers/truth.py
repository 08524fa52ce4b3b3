"""What was true of a run at a constant rate, from the server's log alone; the same rules for every tool.

Request k is due at t0 + k / rate, for k = 0, 1, ..., n - 1. Its arrival is the k-th in the order in which the
server read them, whoever sent it: some tools tell the server which request is which, others do not. Requests
that overtake each other are thereby not told apart, in the tools' favour: what is judged is the stream of
arrivals, not each request's own delay.

t0 is the latest start with which no request arrived before it was due, by the arrivals before a stall (a tool
that waits for its clock can send late but not early, so the least late request shows where the clock stood).
What every request has in common (the way through the kernel, one turn of the tool's event loop) is thereby left
out, in the tools' favour too.

Two truths are told:
- as served: from when request k was due to when the k-th request's first token was handed to the socket. It
  holds the server's delay and the tool's lateness, which is what somebody who came at that moment waited.
- of an open loop: what the server's settings and the moments of its stall say that request k waits if it
  arrives when it is due. It is the same for every tool.
A request that never arrived, or never got a token, counts as it would have waited in an open loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.base import Load
from benchmarks.reference_server.served import ServedRequest

Values = NDArray[np.float64]
PATH = "/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class Stall:
    """The server stood still in [stop_ns, resume_ns), monotonic clock."""

    stop_ns: int
    resume_ns: int


@dataclass(frozen=True, slots=True)
class Truth:
    """One run as its server saw it.

    Args:
        start_ns: t0.
        num_arrived: streams of the load that the server read, at most as many as were due.
        num_beyond: streams that it read after those.
        late_ms: (num_arrived,) arrival after due; before a stall never negative.
        wait_ms: (num_due,) as served.
        open_loop_ms: (num_due,) of an open loop.
        rate_rps: of the arrivals; None: fewer than two.
    """

    start_ns: int
    num_due: int
    num_arrived: int
    num_beyond: int
    late_ms: Values
    wait_ms: Values
    open_loop_ms: Values
    rate_rps: float | None


def truth_of(
    served: Sequence[ServedRequest], load: Load, ttft_ms: float, stall: Stall | None = None
) -> Truth | None:
    """The truth of a run; None: no request of the load arrived.

    Args:
        served: the server's log.
        ttft_ms: the server's setting.
    """
    streams = sorted(
        (line for line in served if line.is_stream and line.path == PATH), key=lambda line: line.first_byte_ns
    )
    kept = streams[: load.num_requests]
    if not kept:
        return None
    # Nanoseconds of the monotonic clock lose digits as floats; differences to the first arrival do not.
    first_ns = kept[0].first_byte_ns
    due_ms: Values = np.arange(load.num_requests, dtype=np.float64) * (1e3 / load.rate_rps)
    arrival_ms = np.array([line.first_byte_ns - first_ns for line in kept]) / 1e6
    late_ms = arrival_ms - due_ms[: len(kept)]
    undisturbed = len(kept) if stall is None else sum(line.first_byte_ns < stall.stop_ns for line in kept)
    start_ms = float(late_ms[: max(1, undisturbed)].min())
    start_ns = first_ns + round(start_ms * 1e6)
    open_loop_ms = open_loop_waits(due_ms, start_ns, ttft_ms, stall)
    return Truth(
        start_ns=start_ns,
        num_due=load.num_requests,
        num_arrived=len(kept),
        num_beyond=len(streams) - len(kept),
        late_ms=late_ms - start_ms,
        wait_ms=_waits(kept, due_ms, start_ns, open_loop_ms),
        open_loop_ms=open_loop_ms,
        rate_rps=_rate_rps(arrival_ms),
    )


def open_loop_waits(due_ms: Values, start_ns: int, ttft_ms: float, stall: Stall | None) -> Values:
    """(n,) ms until the first token for requests that arrive at `start_ns + due_ms`.

    The server's delay begins when it reads a request, and what fell due while it stood still leaves when it goes
    on. It serves any number at a time.
    """
    waits = np.full(len(due_ms), ttft_ms)
    if stall is None:
        return waits
    stop_ms, resume_ms = (stall.stop_ns - start_ns) / 1e6, (stall.resume_ns - start_ns) / 1e6
    is_read_late = (due_ms >= stop_ms) & (due_ms < resume_ms)
    waits[is_read_late] += resume_ms - due_ms[is_read_late]
    is_held = (due_ms < stop_ms) & (due_ms + ttft_ms >= stop_ms)
    waits[is_held] = np.maximum(ttft_ms, resume_ms - due_ms[is_held])
    return waits


def percentile(values: Values, percent: float) -> float | None:
    """None: there are no values."""
    return float(np.percentile(values, percent)) if len(values) else None


def _waits(kept: Sequence[ServedRequest], due_ms: Values, start_ns: int, open_loop_ms: Values) -> Values:
    waits = open_loop_ms.copy()
    for k, line in enumerate(kept):
        if line.first_token_ns is not None:
            waits[k] = (line.first_token_ns - start_ns) / 1e6 - due_ms[k]
    return waits


def _rate_rps(arrival_ms: Values) -> float | None:
    span_ms = float(arrival_ms[-1] - arrival_ms[0])
    return (len(arrival_ms) - 1) * 1e3 / span_ms if span_ms > 0 else None
