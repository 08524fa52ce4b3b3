"""The server's log: what it saw of each request, on the machine's monotonic clock.

Times are nanoseconds of CLOCK_MONOTONIC, which on Linux is `time.perf_counter_ns` of every process, so
they compare with a client's on the same machine. Missing is missing.
"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path

import msgspec


class Ending(StrEnum):
    """How the server's part in a request ended."""

    COMPLETE = "complete"  # everything that it meant to send was handed to the socket, faults included
    CLIENT_LEFT = "client_left"
    STOPPED = "stopped"  # the server was stopped first


class ServedRequest(msgspec.Struct, frozen=True, omit_defaults=True, tag="request", tag_field="line"):
    """One request to a /v1 route that generates or embeds, or that could not be understood."""

    number: int  # in the order in which its process read them
    process: int
    path: str
    first_byte_ns: int  # when its first byte had been read
    complete_ns: int  # when its last byte had been read
    # Read right after the last byte of the answer was handed to the socket, so a client may have read it a
    # little before; or when the client was seen to leave.
    end_ns: int
    ending: Ending
    request_id: str | None = None  # of the header x-request-id
    model: str | None = None
    is_stream: bool = False
    status: int | None = None  # None: there was no answer
    start_ns: int | None = None  # when it was admitted; later than complete_ns by its wait in a queue
    first_due_ns: int | None = None  # when its first token was due
    first_token_ns: int | None = None  # read right before the first token was handed to the socket
    last_token_ns: int | None = None
    num_tokens: int = 0  # handed to the socket
    num_prompt_tokens: int | None = None


class ServerSummary(msgspec.Struct, frozen=True, omit_defaults=True, tag="summary", tag_field="line"):
    """The last line of each process: how the server itself did."""

    process: int
    num_requests: int
    num_tokens: int
    cpu_s: float  # of the process, since it listened
    wall_s: float
    late_p50_ms: float | None = None  # from when a token was due to when it was handed to the socket
    late_p99_ms: float | None = None
    late_max_ms: float | None = None

    def __str__(self) -> str:
        text = f"served {self.num_requests} requests with {self.num_tokens} tokens in {self.wall_s:.1f} s"
        if self.late_p50_ms is None:
            return text
        return (
            f"{text}, {self.cpu_s:.2f} s of CPU: {self.num_tokens / self.cpu_s:,.0f} tokens per CPU second; "
            f"tokens left late by p50 {self.late_p50_ms:.2f} ms, p99 {self.late_p99_ms:.2f} ms, "
            f"at most {self.late_max_ms:.2f} ms"
        )


_Line = ServedRequest | ServerSummary


class ServedLog:
    """Lines kept in memory and appended to the file in small batches; without a path they are dropped.

    A batch is small because the server sends nothing while it is written: 32 lines are about 50 us.
    """

    _MAX_LINES = 32
    _MAX_AGE_NS = 1_000_000_000

    def __init__(self, path: Path | None) -> None:
        # O_APPEND and one write for whole lines: several processes share the file.
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._file = os.open(path, flags, 0o644) if path else None
        self._lines: list[_Line] = []
        self._encoder = msgspec.json.Encoder()
        self._written_ns = 0

    @property
    def has_lines(self) -> bool:
        return bool(self._lines)

    def add(self, line: _Line) -> None:
        if self._file is not None:
            self._lines.append(line)

    def flush_when_due(self, now_ns: int) -> None:
        if len(self._lines) >= self._MAX_LINES or now_ns - self._written_ns > self._MAX_AGE_NS:
            self.flush(now_ns)

    def flush(self, now_ns: int) -> None:
        self._written_ns = now_ns
        if self._file is not None and self._lines:
            data = self._encoder.encode_lines(self._lines)
            while data:
                data = data[os.write(self._file, data) :]
            self._lines.clear()

    def close(self) -> None:
        self.flush(0)
        if self._file is not None:
            os.close(self._file)
            self._file = None


def read_log(path: Path) -> list[ServedRequest]:
    """The requests of a log, in the order in which they ended. Of a running server: those written so far."""
    return [line for line in _read_lines(path) if isinstance(line, ServedRequest)]


def read_summaries(path: Path) -> list[ServerSummary]:
    """One summary for each process that has ended."""
    return [line for line in _read_lines(path) if isinstance(line, ServerSummary)]


def _read_lines(path: Path) -> list[_Line]:
    whole, newline, _ = path.read_bytes().rpartition(b"\n")  # a line may be half written
    return msgspec.json.Decoder(_Line).decode_lines(whole + newline)
