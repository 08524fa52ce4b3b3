"""As much of HTTP/1.1 as a load tester sends: requests with a content-length, on connections kept alive.

Knows nothing of sockets or of what is asked.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import NamedTuple

import msgspec

MAX_HEAD_BYTES = 65_536
MAX_BODY_BYTES = 64 * 1024 * 1024

STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n"
)
LAST_CHUNK = b"0\r\n\r\n"

_REQUEST_LINE = re.compile(rb"([A-Z]+) ([^ ?]+)(?:\?[^ ]*)? HTTP/1\.([01])\r\n")


class Refused(Exception):
    """A request that is answered with an error at once."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message


class Head(NamedTuple):
    """What the server needs of a request's head."""

    method: str
    path: str
    num_head_bytes: int  # with the empty line
    num_body_bytes: int
    request_id: str | None
    must_close: bool  # the client asked for it


def read_head(received: bytes | bytearray) -> Head | None:
    """The head at the start of what was received; None when it is not complete yet.

    Raises:
        Refused: it is not HTTP/1.1, too large, or a body comes in chunks. The connection cannot go on.
    """
    end = received.find(b"\r\n\r\n")
    if end < 0:
        if len(received) > MAX_HEAD_BYTES:
            raise Refused(431, f"the request's head is longer than {MAX_HEAD_BYTES} bytes")
        return None
    line = _REQUEST_LINE.match(received)
    if line is None:
        raise Refused(400, "this is not an HTTP request")
    if line[3] == b"0":
        raise Refused(505, "HTTP/1.0 is not served; use HTTP/1.1")
    head = bytes(received[line.end() - 2 : end + 2])
    lowered = head.lower()
    if b"\r\ntransfer-encoding:" in lowered:
        raise Refused(411, "bodies in chunks are not read; send a content-length")
    request_id = _value(head, lowered, b"\r\nx-request-id:")
    return Head(
        method=line[1].decode(),
        path=line[2].decode("latin-1"),
        num_head_bytes=end + 4,
        num_body_bytes=_content_length(_value(head, lowered, b"\r\ncontent-length:")),
        request_id=request_id,
        must_close=(_value(head, lowered, b"\r\nconnection:") or "").lower() == "close",
    )


def _value(head: bytes, lowered: bytes, name: bytes) -> str | None:
    at = lowered.find(name)
    if at < 0:
        return None
    start = at + len(name)
    return head[start : head.index(b"\r\n", start)].strip().decode("latin-1")


def _content_length(value: str | None) -> int:
    if value is None:
        return 0
    if not value.isdecimal():
        raise Refused(400, f"content-length {value!r} is not a number")
    length = int(value)
    if length > MAX_BODY_BYTES:
        raise Refused(413, f"a body of {length} bytes is more than {MAX_BODY_BYTES}")
    return length


def whole_answer(body: bytes, *, status: int = 200, headers: str = "") -> bytes:
    """An answer in one piece. Each of `headers` ends with a line break."""
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
        f"{headers}content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def error_answer(status: int, message: str, *, headers: str = "") -> bytes:
    """An answer in OpenAI's format of errors."""
    return whole_answer(error_body(status, message), status=status, headers=headers)


def error_body(status: int, message: str) -> bytes:
    kind = (
        "server_error" if status >= 500 else "rate_limit_error" if status == 429 else "invalid_request_error"
    )
    return msgspec.json.encode({"error": {"message": message, "type": kind, "param": None, "code": status}})


def chunk(data: bytes) -> bytes:
    """A piece of a body with transfer-encoding chunked."""
    return b"%x\r\n%b\r\n" % (len(data), data)
