"""One HTTP/1.1 connection: bytes to an exchange, an exchange's bytes out. One exchange at a time.

Reads are stamped when the event loop hands them over, before anything is parsed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import cast

import httptools

from benchmarks.client.exchange import Exchange
from benchmarks.records import Outcome


class Connection(asyncio.Protocol):
    """A connection that is kept alive between exchanges.

    Args:
        on_free: called when an exchange is over and the connection can take another.
        on_lost: called when the connection is gone, whatever it was doing.
        on_stale: called with an exchange whose answer never began, because the server had closed this kept
            connection: it may be sent again elsewhere.
    """

    def __init__(
        self,
        on_free: Callable[[Connection], None],
        on_lost: Callable[[Connection], None],
        on_stale: Callable[[Exchange], None],
    ) -> None:
        self._on_free = on_free
        self._on_lost = on_lost
        self._on_stale = on_stale
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._num_done = 0
        self._now_ns = 0
        self._has_read = False  # of the current exchange's answer
        self._is_event_stream = False
        self._has_retry_after = False
        self._has_length = False  # content-length or chunked; else the body ends with the connection

    def send(self, exchange: Exchange) -> None:
        assert self._transport is not None
        assert self._exchange is None
        self._exchange = exchange
        self._has_read = False
        self._transport.write(exchange.request)
        exchange.sent_ns = time.perf_counter_ns()

    def holds(self, exchange: Exchange) -> bool:
        """Whether the exchange is in flight on this connection."""
        return self._exchange is exchange

    def drop(self) -> None:
        """Close at once, whatever is in flight: to the server, a user who left."""
        self._exchange = None
        if self._transport is not None:
            self._transport.abort()

    # ---------------------------------------------------------------- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none by inheritance

    def data_received(self, data: bytes) -> None:
        self._now_ns = time.perf_counter_ns()
        self._has_read = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError as exc:
            raise exc.__context__ or exc from None  # a fault of ours, in a callback below
        except httptools.HttpParserError as exc:
            self._fail(f"not HTTP/1.1: {exc}")
        except httptools.HttpParserUpgrade:
            self._fail("the server wants to change the protocol")

    def connection_lost(self, exc: Exception | None) -> None:
        now_ns = time.perf_counter_ns()
        exchange, self._exchange = self._exchange, None
        self._transport = None
        self._on_lost(self)
        if exchange is None or exchange.is_over:
            return
        if not self._has_read and self._num_done and not exchange.is_resent:
            self._on_stale(exchange)
        elif exc is None and exchange.headers_ns is not None and not self._has_length:
            exchange.took_all(now_ns)
        else:
            why = f"the connection broke: {exc}" if exc else "the server closed the connection early"
            exchange.lost(why, now_ns, is_reset=exc is not None)

    # ---------------------------------------------------------------- httptools' callbacks

    def on_message_begin(self) -> None:
        self._is_event_stream = self._has_retry_after = self._has_length = False

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"content-type":
            self._is_event_stream = value.lower().startswith(b"text/event-stream")
        elif name in (b"content-length", b"transfer-encoding"):
            self._has_length = True
        elif name == b"retry-after":
            self._has_retry_after = True

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if self._exchange is not None and status >= 200:
            self._exchange.took_headers(
                status,
                retry_after=self._has_retry_after,
                is_event_stream=self._is_event_stream,
                now_ns=self._now_ns,
            )

    def on_body(self, body: bytes) -> None:
        if self._exchange is not None:
            self._exchange.took_body(body, self._now_ns)

    def on_message_complete(self) -> None:
        exchange = self._exchange
        if exchange is None or exchange.headers_ns is None:
            return
        self._exchange = None
        self._num_done += 1
        exchange.took_all(self._now_ns)
        if self._parser.should_keep_alive() and self._transport is not None:
            self._on_free(self)
        elif self._transport is not None:
            self._transport.close()

    def _fail(self, why: str) -> None:
        exchange = self._exchange
        self.drop()
        if exchange is not None:
            exchange.end(Outcome.PROTOCOL, why, self._now_ns)
