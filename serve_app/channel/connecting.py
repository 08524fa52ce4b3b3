"""A sender's connection to one caller: found, proven, shared by all streams between the two.

On the caller's own node it is an abstract Unix socket; from elsewhere TLS, with the caller's own
certificate as the only one that is trusted. Both sides prove that they know the address' key.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

from serve_app.channel.address import (
    HELLO_BYTES,
    NONCE_BYTES,
    PROOF_BYTES,
    ChannelAddress,
    ReplyTo,
    TlsEndpoint,
    hello,
    is_proof,
    proof,
    read_hello,
)
from serve_app.channel.asked import Asked, decode
from serve_app.channel.frames import (
    HEADER,
    MAX_PAYLOAD_BYTES,
    NO_STREAM,
    VERSION,
    BadFrame,
    FrameReader,
    Kind,
    ask_of,
    credit_of,
    frame,
)
from serve_app.channel.joining import Joining
from serve_app.channel.links import Sends
from serve_app.channel.local_socket import abstract, local_socket
from serve_app.errors import Unavailable
from serve_app.messages import CancelReason

logger = logging.getLogger("manta.channel")

CONNECT_TIMEOUT_S = 5.0

Take = Callable[[Asked], asyncio.Task[None]]  # begins to send a stream


class ChannelUnavailable(Unavailable):
    """No connection to the caller can be had; nothing was done for the request yet."""


async def connect(address: ChannelAddress, node_id: str) -> SenderLink:
    """A connection to the caller, with both sides proven.

    Raises:
        ChannelUnavailable: why not.
    """
    if address.version != VERSION:
        raise ChannelUnavailable(f"the caller's channel has version {address.version}, ours {VERSION}")
    link = SenderLink(address)
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            if address.node_id == node_id:
                await _connect_here(link, address.local_name)
            else:
                await _connect_there(link, address.tls, address.id)
            await link.proven
    except (OSError, TimeoutError) as exc:
        link.close()
        raise ChannelUnavailable(f"no channel to the caller: {exc.__class__.__name__}: {exc}") from exc
    return link


async def _connect_here(link: SenderLink, name: str) -> None:
    loop = asyncio.get_running_loop()
    with local_socket() as sock:
        await loop.sock_connect(sock, abstract(name))
        await loop.create_unix_connection(lambda: link, sock=sock.dup())


async def _connect_there(link: SenderLink, tls: TlsEndpoint | None, name: str) -> None:
    if tls is None:
        raise ChannelUnavailable("the caller does not listen for other nodes yet")
    loop = asyncio.get_running_loop()
    await loop.create_connection(
        lambda: link, tls.host, tls.port, ssl=_trusting(tls.certificate_pem), server_hostname=name
    )


class SenderLink(asyncio.Protocol):
    """One connection. Frames leave together; the first of each stream at once."""

    def __init__(self, address: ChannelAddress) -> None:
        self._loop = asyncio.get_running_loop()
        self._address = address
        self._nonce = os.urandom(NONCE_BYTES)
        self._handshake = b""
        self.proven: asyncio.Future[None] = self._loop.create_future()
        self.on_lost: Callable[[], object] | None = None
        self._transport: asyncio.Transport | None = None
        self._reader = FrameReader()
        self._streams: dict[int, Sends] = {}
        self._with_news: list[Sends] = []
        self._calls: dict[int, Take] = {}  # that run and take more streams
        self._asked: dict[int, asyncio.Task[None]] = {}  # streams that were taken and are not added yet
        self._joining = Joining(self._loop.time(), address.wake_up_s)
        self._flushed_at = 0.0
        self._flush: asyncio.Handle | None = None
        self._is_writable = asyncio.Event()
        self._is_writable.set()

    # -------- streams

    @property
    def can_write(self) -> bool:
        return self._is_writable.is_set()

    async def writable(self) -> None:
        await self._is_writable.wait()

    def add(self, stream: Sends) -> None:
        """Join. If the connection is lost by then, the stream is reset at once."""
        self._asked.pop(stream.id, None)
        if self._transport is None or stream.id in self._streams:
            stream.reset(CancelReason.CONNECTION_LOST)
            return
        self._streams[stream.id] = stream
        # Nothing but the id: from now on the caller notices if this replica dies or hangs.
        self._put(stream, b"")

    @contextmanager
    def taking(self, call_id: int, take: Take) -> Iterator[None]:
        """Within the block the caller may ask for more streams of a call."""
        self._calls[call_id] = take
        try:
            yield
        finally:
            del self._calls[call_id]

    def remove(self, stream: Sends) -> None:
        if self._streams.get(stream.id) is stream:
            del self._streams[stream.id]

    def write(self, stream: Sends, data: bytes) -> None:
        """Send soon; the first of a stream now."""
        if stream.is_first:
            stream.is_first = False
            self._write(frame(stream.id, Kind.DATA, data))
        else:
            self._put(stream, data)

    def write_last(self, stream: Sends, kind: Kind, payload: bytes) -> None:
        """Send what is pending of the stream and its end, now."""
        rest = _joined(stream)
        self._write(rest + frame(stream.id, kind, payload))

    def _put(self, stream: Sends, data: bytes) -> None:
        if not stream.pending:
            self._with_news.append(stream)
        stream.pending.append(data)
        self._joining.frame()
        if self._flush is None:
            self._schedule()

    def _schedule(self) -> None:
        now = self._loop.time()
        due = self._flushed_at + self._joining.window_s(len(self._streams), now)
        if due <= now:
            self._flush = self._loop.call_soon(self._flush_now)
        else:
            self._flush = self._loop.call_at(due, self._flush_now)

    def _flush_now(self) -> None:
        self._flush = None
        self._flushed_at = self._loop.time()
        streams, self._with_news = self._with_news, []
        self._write(b"".join([_joined(stream) for stream in streams]))

    def _write(self, data: bytes) -> None:
        if self._transport is not None and data:
            self._transport.write(data)

    # -------- the connection

    def close(self) -> None:
        if self._flush is not None:
            self._flush.cancel()
            self._flush_now()
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's does not inherit from it
        self._transport.write(hello(self._nonce))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._flush is not None:
            self._flush.cancel()
        self._is_writable.set()
        if not self.proven.done():
            self.proven.set_exception(ConnectionResetError("the caller closed the connection"))
            self.proven.exception()  # whoever waited may have given up
        for stream in list(self._streams.values()):
            stream.reset(CancelReason.CONNECTION_LOST)
        for task in list(self._asked.values()):
            task.cancel()
        if self.on_lost is not None:
            self.on_lost()

    def pause_writing(self) -> None:
        self._is_writable.clear()

    def resume_writing(self) -> None:
        self._is_writable.set()

    def data_received(self, data: bytes) -> None:
        try:
            if not self.proven.done():
                data = self._shake_hands(data)
            for stream_id, kind, payload in self._reader.feed(data):
                self._on_frame(stream_id, kind, payload)
        except BadFrame as exc:
            logger.warning("the channel to %s is closed: %s", self._address.id, exc)
            assert self._transport is not None
            self._transport.abort()

    def _shake_hands(self, data: bytes) -> bytes:
        """Read the caller's hello and proof, answer with ours; what came after them."""
        self._handshake += data
        size = HELLO_BYTES + PROOF_BYTES
        if len(self._handshake) < HELLO_BYTES:
            return b""
        greeting = read_hello(self._handshake[:HELLO_BYTES])
        if greeting is None:
            raise BadFrame("who listens there is not ours")
        version, nonce = greeting
        if version != VERSION:
            raise BadFrame(f"the caller's channel has version {version}, ours {VERSION}")
        if len(self._handshake) < size:
            return b""
        if not is_proof(self._handshake[HELLO_BYTES:size], self._address.key, "caller", nonce, self._nonce):
            raise BadFrame("who listens there does not know the key")
        self._write(proof(self._address.key, "sender", self._nonce, nonce))
        self.proven.set_result(None)
        return self._handshake[size:]

    def _on_frame(self, stream_id: int, kind: Kind, payload: bytes) -> None:
        if kind is Kind.PING:
            self._write(frame(NO_STREAM, Kind.PONG))
            return
        if kind is Kind.ASK:
            self._on_ask(stream_id, *ask_of(payload))
            return
        stream = self._streams.get(stream_id)
        if stream is None:
            if kind is Kind.RESET and stream_id in self._asked:
                self._asked[stream_id].cancel()
            return  # it ended meanwhile
        if kind is Kind.CREDIT:
            stream.grant(credit_of(payload))
        elif kind is Kind.RESET:
            stream.reset(payload.decode(errors="replace"))
        else:
            raise BadFrame(f"a receiver does not send {kind.name}")

    def _on_ask(self, stream_id: int, call_id: int, payload: bytes) -> None:
        take = self._calls.get(call_id)
        if take is None:
            self._write(frame(stream_id, Kind.NOT_TAKEN))
            return
        try:
            asked = decode(payload, ReplyTo(self._address, stream_id))
        except ValueError as exc:  # one request's fault, and not that of the others on this connection
            logger.warning("a stream of %s is not taken: %s", self._address.id, exc)
            self._write(frame(stream_id, Kind.NOT_TAKEN))
            return
        task = take(asked)
        self._asked[stream_id] = task
        task.add_done_callback(lambda _: self._never_added(stream_id))

    def _never_added(self, stream_id: int) -> None:
        """The task of a stream is over; if it ended before it did anything, its caller does not wait for it."""
        if self._asked.pop(stream_id, None) is not None:
            self._write(frame(stream_id, Kind.NOT_TAKEN))


def _joined(stream: Sends) -> bytes:
    """All that is pending of a stream, in one frame where it fits."""
    pending, stream.pending = stream.pending, []
    if not pending:
        return b""
    payload = b"".join(pending)
    if len(payload) <= MAX_PAYLOAD_BYTES:
        return HEADER.pack(stream.id, Kind.DATA, len(payload)) + payload
    return b"".join([frame(stream.id, Kind.DATA, data) for data in pending])


def _trusting(certificate_pem: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=certificate_pem)
    return context
