"""One request on a connection of its own, whose client can leave at a known moment.

For measurements of single requests; loads are `benchmarks.client`'s.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import urlsplit

import httptools
import msgspec

from benchmarks.client.events import EventSplitter
from benchmarks.errors import BenchmarkError


class Answer(asyncio.Protocol):
    """A chat answer as it comes. As a context it closes its connection at the end.

    Args:
        request: the whole HTTP request.
    """

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._parser = httptools.HttpResponseParser(self)
        self._splitter = EventSplitter()
        self._body = b""
        self._transport: asyncio.Transport | None = None
        self._has_news = asyncio.Event()
        self._lost = asyncio.Event()
        self._is_event_stream = False
        self.status: int | None = None
        self.sent_ns = 0
        self.pieces_ns: list[int] = []  # when each piece of text came
        self.is_over = False  # it ended, or its connection did
        self.error: str | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()
        await self._lost.wait()

    async def piece(self, num: int, timeout_s: float) -> int:
        """When the `num`-th piece of text came (1 is the first), in nanoseconds of the monotonic clock.

        Raises:
            BenchmarkError: it did not come.
        """
        await self._until(lambda: len(self.pieces_ns) >= num or self.is_over, timeout_s)
        if len(self.pieces_ns) < num:
            why = self.error or f"status {self.status}, {len(self.pieces_ns)} pieces"
            raise BenchmarkError(f"an answer ended before its piece {num}: {why}")
        return self.pieces_ns[num - 1]

    async def end(self, timeout_s: float) -> None:
        """Returns when it is over."""
        await self._until(lambda: self.is_over, timeout_s)

    def leave(self) -> int:
        """Close the connection, as a user does who closes the page; returns when (monotonic ns)."""
        assert self._transport is not None
        now_ns = time.perf_counter_ns()
        self._transport.abort()
        return now_ns

    async def _until(self, condition: Any, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                while not condition():
                    self._has_news.clear()
                    await self._has_news.wait()
        except TimeoutError as exc:
            raise BenchmarkError(f"nothing came within {timeout_s:g} s") from exc

    # ---------------------------------------------------------------- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.sent_ns = time.perf_counter_ns()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._now_ns = time.perf_counter_ns()
        self._parser.feed_data(data)
        self._has_news.set()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None and self.error is None:
            self.error = str(exc)
        self.is_over = True
        self._has_news.set()
        self._lost.set()

    # ---------------------------------------------------------------- httptools' callbacks

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"content-type":
            self._is_event_stream = value.startswith(b"text/event-stream")

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        if not self._is_event_stream:
            self._body += body
            return
        for _, data in self._splitter.feed(body):
            self._take(data)

    def on_message_complete(self) -> None:
        if self.status != 200:
            self.error = self._body.decode(errors="replace")[:300]
        self.is_over = True

    def _take(self, data: bytes) -> None:
        if data == b"[DONE]":
            return
        document: dict[str, Any] = msgspec.json.decode(data)
        if "error" in document:
            self.error = str(document["error"].get("message"))
        elif document.get("choices") and document["choices"][0]["delta"].get("content"):
            self.pieces_ns.append(self._now_ns)


async def ask(url: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Answer:
    """Send a chat request on a new connection; it is open until the answer's context is left.

    Raises:
        BenchmarkError: the server is not there.
    """
    parts = urlsplit(url)
    if parts.hostname is None or parts.port is None:
        raise BenchmarkError(f"{url}: is no address of a host and a port")
    content = msgspec.json.encode(body)
    lines = [
        "POST /v1/chat/completions HTTP/1.1",
        f"host: {parts.netloc}",
        "content-type: application/json",
        f"content-length: {len(content)}",
        *(f"{name}: {value}" for name, value in (headers or {}).items()),
    ]
    request = "\r\n".join(lines).encode() + b"\r\n\r\n" + content
    try:
        _, answer = await asyncio.get_running_loop().create_connection(
            lambda: Answer(request), parts.hostname, parts.port
        )
    except OSError as exc:
        raise BenchmarkError(f"{url}: no connection: {exc}") from exc
    return answer
