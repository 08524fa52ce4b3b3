"""What one request did, and how the client itself did: the raw truth that every figure is made from.

Times are nanoseconds of the machine's monotonic clock after the run's start, the same clock in all
worker processes. Missing is missing: a request that never had a token has no `first_token_ns`.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

import msgspec


class Outcome(StrEnum):
    """How a request ended. Everything but OK and ABANDONED is an error."""

    OK = "ok"
    ABANDONED = "abandoned"  # the workload's user left, as planned
    REFUSED = "refused"  # 429, or 503 with Retry-After: the server protects itself
    HTTP_ERROR = "http_error"  # any other status that is not 2xx
    STREAM_ERROR = "stream_error"  # an error event inside a stream that had begun with 200
    TRUNCATED = (
        "truncated"  # the stream or body ended before its end: no [DONE], or fewer bytes than promised
    )
    CONNECT = "connect"  # no connection: refused, name not found, TLS
    RESET = "reset"  # the connection broke before the answer's first byte, or with a reset after it
    TIMEOUT = "timeout"  # not done `timeout_s` after the intended arrival
    PROTOCOL = "protocol"  # not HTTP, not JSON, not server-sent events
    INTERRUPTED = "interrupted"  # the run was stopped while it was in flight, or before it left


class Record(msgspec.Struct, omit_defaults=True):
    """One request. Written when it ends, however it ends."""

    index: int  # of the schedule
    entry: str  # label of the mix's entry
    worker: int
    outcome: Outcome
    intended_ns: int  # intended arrival; latencies count from here
    end_ns: int  # last byte of the answer, or the moment the outcome was known
    is_stream: bool = False  # server-sent events were asked for; only then is there a first token to time
    sent_ns: int | None = None  # when the request was handed to the socket; None: it never was
    connect_ns: int | None = None  # how long its new connection took; None: it was on one kept alive
    headers_ns: int | None = None  # when the status line was read
    first_token_ns: int | None = None  # first non-empty piece of text of a stream
    last_token_ns: int | None = None
    # When each non-empty piece of text after the first arrived, in microseconds after the piece before it.
    # Pieces that came in one read have 0. Empty when the run keeps no token times.
    gaps_us: list[int] = []
    num_pieces: int = 0  # non-empty pieces of text that arrived: the client's count of tokens
    num_prompt_tokens: int | None = None  # the server's usage
    num_output_tokens: int | None = None  # the server's usage
    num_cached_tokens: int | None = None  # of the prompt, by the server's usage: not computed again
    num_planned_prompt_tokens: int | None = None
    num_planned_output_tokens: int | None = None
    status: int | None = None
    detail: str = ""  # what the error said, cut to 300 characters
    num_bytes: int = 0  # of the answer's body
    session: int = 0
    turn: int = 0
    # Sent again on a new connection, because the server had closed the kept one; latencies count from the
    # intended arrival all the same.
    is_resent: bool = False
    text: str | None = None  # all that the answer said; only where the run keeps it


class ClientSample(msgspec.Struct, omit_defaults=True):
    """How one worker process did in one second of the run."""

    worker: int
    at_s: float  # end of the second, after the run's start
    num_sent: int
    num_ended: int
    num_in_flight: int
    num_connections: int
    cpu: float  # CPU time per wall time; 1.0 is one core
    cpu_wait: float | None  # time the process could run but had no core, per wall time; None: not Linux
    lag_max_ms: float  # worst lateness of a timer of the event loop
    lag_p50_ms: float
    lag_p99_ms: float
    num_outcomes: dict[str, int] = {}  # outcome -> requests that ended so in this second
    lag_p95_ms: float | None = None  # None: told only as p50 and p99
    ttft_ms: list[float] = []  # of requests that ended in this second, from intended arrival


def read_records(folder: Path) -> Iterator[Record]:
    """The records of a run's folder, in the order in which they ended."""
    yield from msgspec.json.Decoder(Record).decode_lines((folder / "records.jsonl").read_bytes())


def read_samples(folder: Path) -> Iterator[ClientSample]:
    """The client's own samples of a run's folder."""
    yield from msgspec.json.Decoder(ClientSample).decode_lines((folder / "client.jsonl").read_bytes())
