"""An exchange without a connection: what it is told, and the record that it leaves."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.client.answers import reader_of
from benchmarks.client.exchange import Exchange
from benchmarks.client.task import Entry
from benchmarks.records import Outcome, Record
from benchmarks.schedule.planned import PlannedRequest

MS = 1_000_000
PLANNED = PlannedRequest(index=3, entry=0, body_offset=0, body_bytes=2, at_s=0.01, num_output_tokens=2)


@pytest.fixture
def ended() -> list[Exchange]:
    return []


@pytest.fixture
def begin(ended: list[Exchange]) -> Callable[..., Exchange]:
    def make(kind: str = "chat", *, is_stream: bool = True, keep_text: bool = False) -> Exchange:
        exchange = Exchange(
            PLANNED,
            Entry("chat", kind, is_stream),
            reader_of(kind),
            b"POST",
            10 * MS,
            keep_text=keep_text,
            on_end=ended.append,
        )
        exchange.sent_ns = 11 * MS
        return exchange

    return make


def headers(exchange: Exchange, status: int = 200, *, stream: bool = True, retry_after: bool = False) -> None:
    exchange.took_headers(status, retry_after=retry_after, is_event_stream=stream, now_ns=12 * MS)


def token(text: str) -> bytes:
    return b'data: {"choices": [{"delta": {"content": "%b"}}]}\n\n' % text.encode()


def record(exchange: Exchange, *, keep_token_times: bool = True) -> Record:
    return exchange.record(worker=1, start_ns=2 * MS, keep_token_times=keep_token_times)


def test_a_stream_to_its_end(begin: Callable[..., Exchange], ended: list[Exchange]) -> None:
    exchange = begin(keep_text=True)
    headers(exchange)
    exchange.took_body(token(""), 13 * MS)  # the role comes first, and is no token
    exchange.took_body(token("a"), 15 * MS)
    exchange.took_body(token("b") + token("c"), 18 * MS)
    exchange.took_body(
        b'data: {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 3}}\n\n', 19 * MS
    )
    exchange.took_body(b"data: [DONE]\n\n", 20 * MS)
    assert not ended
    exchange.took_all(20 * MS)
    assert ended == [exchange]
    found = record(exchange)
    assert found.outcome is Outcome.OK
    assert (found.intended_ns, found.sent_ns, found.headers_ns) == (8 * MS, 9 * MS, 10 * MS)
    assert (found.first_token_ns, found.last_token_ns, found.end_ns) == (13 * MS, 16 * MS, 18 * MS)
    assert found.gaps_us == [3000, 0]
    assert (found.num_pieces, found.num_prompt_tokens, found.num_output_tokens) == (3, 5, 3)
    assert exchange.text == "abc"
    assert record(exchange, keep_token_times=False).gaps_us == []


def test_a_stream_without_done_is_truncated(begin: Callable[..., Exchange]) -> None:
    exchange = begin()
    headers(exchange)
    exchange.took_body(token("a"), 15 * MS)
    exchange.took_all(16 * MS)
    assert exchange.outcome is Outcome.TRUNCATED
    assert "[DONE]" in exchange.detail
    assert record(exchange).num_pieces == 1  # what came is kept


@pytest.mark.parametrize(
    ("status", "retry_after", "outcome"),
    [
        (429, False, Outcome.REFUSED),
        (503, True, Outcome.REFUSED),
        (503, False, Outcome.HTTP_ERROR),
        (500, False, Outcome.HTTP_ERROR),
        (302, False, Outcome.HTTP_ERROR),
        (404, False, Outcome.HTTP_ERROR),
    ],
)
def test_statuses(
    begin: Callable[..., Exchange],
    status: int,
    retry_after: bool,
    outcome: Outcome,
) -> None:
    exchange = begin()
    headers(exchange, status, stream=False, retry_after=retry_after)
    exchange.took_body(b'{"error": {"message": "why"}}', 13 * MS)
    exchange.took_all(14 * MS)
    assert (exchange.outcome, exchange.detail, exchange.status) == (outcome, "why", status)


def test_an_error_without_a_body_names_the_status(begin: Callable[..., Exchange]) -> None:
    exchange = begin()
    headers(exchange, 500, stream=False)
    exchange.took_all(14 * MS)
    assert exchange.detail == "HTTP 500"


def test_an_error_event_ends_it(begin: Callable[..., Exchange], ended: list[Exchange]) -> None:
    exchange = begin()
    headers(exchange)
    exchange.took_body(token("a") + b'data: {"error": {"message": "gone"}}\n\n' + token("b"), 15 * MS)
    exchange.took_all(16 * MS)
    assert (exchange.outcome, exchange.detail) == (Outcome.STREAM_ERROR, "gone")
    assert len(ended) == 1
    assert record(exchange).num_pieces == 1


def test_an_event_that_is_not_json(begin: Callable[..., Exchange]) -> None:
    exchange = begin()
    headers(exchange)
    exchange.took_body(b"data: {oops\n\n", 15 * MS)
    assert exchange.outcome is Outcome.PROTOCOL


def test_a_document_where_a_stream_was_asked_for(begin: Callable[..., Exchange]) -> None:
    exchange = begin()
    headers(exchange, stream=False)
    exchange.took_body(b'{"choices": [{"message": {"content": "all"}}]}', 15 * MS)
    exchange.took_all(15 * MS)
    assert exchange.outcome is Outcome.PROTOCOL


def test_a_document(begin: Callable[..., Exchange]) -> None:
    exchange = begin("embeddings", is_stream=False)
    headers(exchange, stream=False)
    exchange.took_body(b'{"data": [], "usage": {"prom', 15 * MS)
    exchange.took_body(b'pt_tokens": 4}}', 16 * MS)
    exchange.took_all(16 * MS)
    found = record(exchange)
    assert (found.outcome, found.first_token_ns, found.num_prompt_tokens) == (Outcome.OK, None, 4)


@pytest.mark.parametrize("body", [b"", b"{", b'{"error": {"message": "no"}}'])
def test_a_document_that_is_none(begin: Callable[..., Exchange], body: bytes) -> None:
    exchange = begin("embeddings", is_stream=False)
    headers(exchange, stream=False)
    exchange.took_body(body, 15 * MS)
    exchange.took_all(16 * MS)
    assert exchange.outcome is Outcome.PROTOCOL


@pytest.mark.parametrize(
    ("has_headers", "is_reset", "outcome"),
    [(False, False, Outcome.RESET), (True, True, Outcome.RESET), (True, False, Outcome.TRUNCATED)],
)
def test_a_lost_connection(
    begin: Callable[..., Exchange],
    has_headers: bool,
    is_reset: bool,
    outcome: Outcome,
) -> None:
    exchange = begin()
    if has_headers:
        headers(exchange)
    exchange.lost("why", 13 * MS, is_reset=is_reset)
    assert exchange.outcome is outcome


def test_a_connection_that_ends_after_done_lost_nothing(begin: Callable[..., Exchange]) -> None:
    exchange = begin()
    headers(exchange)
    exchange.took_body(token("a") + b"data: [DONE]\n\n", 15 * MS)
    exchange.lost("closed", 16 * MS, is_reset=False)
    assert exchange.outcome is Outcome.OK


def test_it_ends_once(begin: Callable[..., Exchange], ended: list[Exchange]) -> None:
    exchange = begin()
    exchange.end(Outcome.TIMEOUT, "late", 20 * MS)
    exchange.end(Outcome.OK, "", 21 * MS)
    exchange.lost("x", 22 * MS, is_reset=True)
    assert (exchange.outcome, exchange.end_ns, len(ended)) == (Outcome.TIMEOUT, 20 * MS, 1)


def test_what_was_never_sent_has_no_times(begin: Callable[..., Exchange]) -> None:
    exchange = begin()
    exchange.sent_ns = None
    exchange.end(Outcome.CONNECT, "refused", 12 * MS)
    found = record(exchange)
    assert (found.sent_ns, found.headers_ns, found.first_token_ns, found.connect_ns) == (None,) * 4
