"""Bytes to and from the reference server, for what no HTTP client would let through."""

from __future__ import annotations

import select
import socket
from typing import Any

import httpx
import msgspec

from benchmarks.reference_server.process import ReferenceServer
from benchmarks.reference_server.served import ServedRequest, read_log

NUM_TOKENS = 8
DONE = b"data: [DONE]\n\n"
LAST_CHUNK = b"0\r\n\r\n"


class Wire:
    """A connection of bytes."""

    def __init__(self, server: ReferenceServer, *, receive_buffer_bytes: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self.socket.settimeout(30)
        self.socket.connect(("127.0.0.1", httpx.URL(server.url).port))

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def ask(self, model: str, **fields: Any) -> None:
        self.socket.sendall(request(model, **fields))

    def read_until(self, end: bytes, received: bytes = b"") -> bytes:
        """Everything to `end`, `received` before it, which may have the end in it already."""
        received = bytearray(received)
        while not received.endswith(end):
            data = self.socket.recv(65_536)
            assert data, received
            received += data
        return bytes(received)

    def read_to_close(self) -> bytes:
        received = bytearray()
        self.read_into(received)
        return bytes(received)

    def read_into(self, received: bytearray) -> None:
        """Everything to the connection's end; what came before a reset is in `received`."""
        while data := self.socket.recv(65_536):
            received += data

    def has_something(self) -> bool:
        return bool(select.select([self.socket], [], [], 0)[0])


def request(
    model: str, *, path: str = "/v1/chat/completions", request_id: str | None = None, **fields: Any
) -> bytes:
    document = {"model": model, "stream": True, "max_tokens": NUM_TOKENS}
    document["messages"] = [{"role": "user", "content": "How are you?"}]
    body = msgspec.json.encode(document | fields)
    named = f"X-Request-Id: {request_id}\r\n" if request_id else ""
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\n{named}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def dechunked(answer: bytes) -> tuple[bytes, bytes, bool]:
    """The head, the body, and whether the body was ended as HTTP wants it."""
    head, _, rest = answer.partition(b"\r\n\r\n")
    body, at = bytearray(), 0
    while at < len(rest):
        start = rest.index(b"\r\n", at) + 2
        length = int(rest[at:start], 16)
        if length == 0:
            return head, bytes(body), rest[start:] == b"\r\n"
        body += rest[start : start + length]
        at = start + length + 2
    return head, bytes(body), False


def texts(body: bytes) -> list[str]:
    """Non-empty texts of the events of a chat."""
    events = [event for event in body.split(b"\n\n") if event.startswith(b"data: {")]
    choices = [choice for event in events for choice in msgspec.json.decode(event[6:]).get("choices", [])]
    return [text for choice in choices if (text := choice["delta"].get("content"))]


def only_request(server: ReferenceServer) -> ServedRequest:
    server.stop()
    (served,) = read_log(server.log_path)
    return served
