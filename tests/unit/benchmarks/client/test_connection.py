"""A connection without a socket: bytes in, and what becomes of the exchange on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from benchmarks.client.answers import reader_of
from benchmarks.client.connection import Connection
from benchmarks.client.exchange import Exchange
from benchmarks.client.task import Entry
from benchmarks.records import Outcome
from benchmarks.schedule.planned import PlannedRequest

STREAM = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
)
TOKEN = b'data: {"choices": [{"delta": {"content": "x"}}]}\n\n'
DONE = b"data: [DONE]\n\n"
JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Wire(asyncio.Transport):
    """Keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_aborted = False
        self.is_closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def abort(self) -> None:
        self.is_aborted = True

    def close(self) -> None:
        self.is_closed = True


class Line:
    """A connection with its wire, and everything it told."""

    def __init__(self) -> None:
        self.free: list[Connection] = []
        self.lost: list[Connection] = []
        self.stale: list[Exchange] = []
        self.wire = Wire()
        self.connection = Connection(self.free.append, self.lost.append, self.stale.append)
        self.connection.connection_made(self.wire)

    def send(self, *, is_stream: bool = True) -> Exchange:
        kind = "chat" if is_stream else "embeddings"
        planned = PlannedRequest(index=0, entry=0, body_offset=0, body_bytes=0, at_s=0.0)
        exchange = Exchange(
            planned,
            Entry("x", kind, is_stream),
            reader_of(kind),
            b"POST",
            0,
            keep_text=False,
            on_end=lambda ended: None,
        )
        self.connection.send(exchange)
        return exchange


@pytest.fixture
def line() -> Line:
    return Line()


def test_one_exchange_after_the_other(line: Line) -> None:
    for num in (1, 2):
        exchange = line.send()
        line.connection.data_received(STREAM + chunked(TOKEN))
        line.connection.data_received(chunked(DONE) + b"0\r\n\r\n")
        assert exchange.outcome is Outcome.OK
        assert len(exchange.pieces_ns) == 1
        assert len(line.free) == num
    assert line.wire.written == b"POSTPOST"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
def test_reads_may_be_cut_anywhere(line: Line, size: int) -> None:
    exchange = line.send()
    data = STREAM + chunked(TOKEN) + chunked(TOKEN[:20]) + chunked(TOKEN[20:] + DONE) + b"0\r\n\r\n"
    for start in range(0, len(data), size):
        line.connection.data_received(data[start : start + size])
    assert exchange.outcome is Outcome.OK
    assert len(exchange.pieces_ns) == 2


def test_an_informational_answer_comes_first(line: Line) -> None:
    exchange = line.send(is_stream=False)
    line.connection.data_received(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n")
    assert exchange.headers_ns is None
    line.connection.data_received(JSON % (2, b"{}"))
    assert (exchange.outcome, exchange.status) == (Outcome.OK, 200)


def test_connection_close_is_closed(line: Line) -> None:
    exchange = line.send(is_stream=False)
    line.connection.data_received(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}")
    assert exchange.outcome is Outcome.OK
    assert not line.free
    assert line.wire.is_closed


def test_a_body_may_end_with_the_connection(line: Line) -> None:
    exchange = line.send()
    line.connection.data_received(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + TOKEN + DONE
    )
    assert exchange.outcome is None
    line.connection.connection_lost(None)
    assert exchange.outcome is Outcome.OK


def test_a_body_that_is_shorter_than_promised(line: Line) -> None:
    exchange = line.send(is_stream=False)
    line.connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{}")
    line.connection.connection_lost(None)
    assert exchange.outcome is Outcome.TRUNCATED


@pytest.mark.parametrize(
    "data", [b"SSH-2.0-x\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 101 Switch\r\nupgrade: x\r\n\r\n"]
)
def test_what_is_not_http(line: Line, data: bytes) -> None:
    exchange = line.send()
    line.connection.data_received(data)
    assert exchange.outcome is Outcome.PROTOCOL
    assert line.wire.is_aborted


@pytest.mark.parametrize(
    ("answer", "reason", "outcome"),
    [
        (b"", None, Outcome.RESET),
        (b"", ConnectionResetError("reset"), Outcome.RESET),
        (STREAM + chunked(TOKEN), None, Outcome.TRUNCATED),
        (STREAM + chunked(TOKEN), ConnectionResetError("reset"), Outcome.RESET),
        (STREAM + chunked(TOKEN + DONE), None, Outcome.OK),
    ],
)
def test_a_connection_breaks(line: Line, answer: bytes, reason: Exception | None, outcome: Outcome) -> None:
    exchange = line.send()
    if answer:
        line.connection.data_received(answer)
    line.connection.connection_lost(reason)
    assert exchange.outcome is outcome
    assert line.lost == [line.connection]
    assert not line.stale


def test_a_kept_connection_that_the_server_had_closed_is_no_failure(line: Line) -> None:
    line.send(is_stream=False)
    line.connection.data_received(JSON % (2, b"{}"))
    exchange = line.send(is_stream=False)
    line.connection.connection_lost(ConnectionResetError("reset"))
    assert line.stale == [exchange]
    assert exchange.outcome is None


def test_it_is_sent_again_only_once(line: Line) -> None:
    line.send(is_stream=False)
    line.connection.data_received(JSON % (2, b"{}"))
    exchange = line.send(is_stream=False)
    exchange.is_resent = True
    line.connection.connection_lost(None)
    assert exchange.outcome is Outcome.RESET
    assert not line.stale


def test_what_comes_after_the_end_is_dropped(line: Line) -> None:
    exchange = line.send()
    line.connection.data_received(STREAM + chunked(TOKEN))
    exchange.end(Outcome.TIMEOUT, "late", 1)
    assert line.connection.holds(exchange)
    line.connection.drop()
    assert line.wire.is_aborted
    line.connection.connection_lost(None)
    assert exchange.outcome is Outcome.TIMEOUT


def test_a_fault_in_our_own_code_is_not_the_servers(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    exchange = line.send()
    broken: Callable[..., None] = lambda *args: 1 // 0  # type: ignore[assignment,return-value] # noqa: E731
    monkeypatch.setattr(Exchange, "took_body", broken)
    with pytest.raises(ZeroDivisionError):
        line.connection.data_received(STREAM + chunked(TOKEN))
    assert exchange.outcome is None
