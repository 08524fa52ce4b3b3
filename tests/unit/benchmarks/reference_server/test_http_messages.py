"""Requests as clients send them, whole, in pieces and broken."""

from __future__ import annotations

import pytest

from benchmarks.reference_server.http_messages import Head, Refused, chunk, error_answer, read_head

REQUEST = (
    b"POST /v1/completions?x=1 HTTP/1.1\r\nHost: a\r\nX-Request-ID: Ab-1\r\n"
    b"Content-Length: 12\r\nConnection: keep-alive\r\n\r\nhello, body!"
)


def head_of(*lines: bytes) -> bytes:
    return b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def test_a_request_is_read_whatever_the_case_of_its_headers() -> None:
    expected = Head("POST", "/v1/completions", len(REQUEST) - 12, 12, "Ab-1", must_close=False)
    assert read_head(REQUEST) == expected


def test_a_head_is_incomplete_until_its_last_byte() -> None:
    num_head_bytes = len(REQUEST) - 12
    for end in range(num_head_bytes):
        assert read_head(REQUEST[:end]) is None
    assert read_head(REQUEST[:num_head_bytes]) is not None


def test_a_header_is_found_by_its_whole_name_only() -> None:
    head = read_head(head_of(b"GET /health HTTP/1.1", b"Not-Content-Length: 5", b"A: x-request-id: 3"))
    assert head is not None
    assert (head.num_body_bytes, head.request_id) == (0, None)


def test_a_client_may_ask_to_close() -> None:
    head = read_head(head_of(b"GET /health HTTP/1.1", b"connection: Close"))
    assert head is not None
    assert head.must_close


@pytest.mark.parametrize(
    ("received", "status"),
    [
        (head_of(b"hello"), 400),
        (head_of(b"\x16\x03\x01\x02\x00\x01\x00"), 400),
        (head_of(b"GET / HTTP/1.0"), 505),
        (head_of(b"POST / HTTP/1.1", b"Transfer-Encoding: chunked"), 411),
        (head_of(b"POST / HTTP/1.1", b"Content-Length: -1"), 400),
        (head_of(b"POST / HTTP/1.1", b"Content-Length: 1e3"), 400),
        (head_of(b"POST / HTTP/1.1", b"Content-Length: 99999999999"), 413),
        (b"GET / HTTP/1.1\r\nx: " + b"x" * 70_000, 431),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_status(received: bytes, status: int) -> None:
    with pytest.raises(Refused) as caught:
        read_head(received)
    assert caught.value.status == status


def test_a_chunk_says_its_length_in_hexadecimal() -> None:
    assert chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"


def test_an_error_has_its_length_and_its_headers() -> None:
    head, _, body = error_answer(429, "slow down", headers="retry-after: 1\r\n").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
    assert b"retry-after: 1\r\n" in head
    assert head.endswith(b"content-length: %d" % len(body))
    assert b'"type":"rate_limit_error"' in body
