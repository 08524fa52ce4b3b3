"""A receiver's connection from one sender: proven, watched, its frames given to their streams."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from typing import cast

from serve_app.channel.address import (
    HELLO_BYTES,
    NONCE_BYTES,
    PROOF_BYTES,
    hello,
    is_proof,
    proof,
    read_hello,
)
from serve_app.channel.faults import decode_error
from serve_app.channel.frames import NO_STREAM, VERSION, BadFrame, FrameReader, Kind, ask, credit, frame
from serve_app.channel.incoming import Incoming, NotTaken, SenderSilent
from serve_app.errors import StreamLost
from serve_app.messages import CancelReason

logger = logging.getLogger("manta.channel")

HANDSHAKE_TIMEOUT_S = 5.0
# Strangers can open connections until the handshake's time is over: so many of them, no more.
MAX_LINKS = 1024


class ReceiverLink(asyncio.Protocol):
    """One connection, from accept to its end.

    Args:
        key: the listener's.
        streams: all of the listener, by id; a stream belongs to the connection that first had news of it.
        links: the listener's connections, this one among them while it lasts.
        silence_s: the sender is given up when it has not answered for so long, in seconds.
    """

    def __init__(
        self, key: bytes, streams: Mapping[int, Incoming], links: set[ReceiverLink], silence_s: float
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._key = key
        self._streams = streams
        self._links = links
        self._silence_s = silence_s
        self._bound: dict[int, Incoming] = {}
        self._nonce = os.urandom(NONCE_BYTES)
        self._handshake = b""
        self._is_proven = False
        self._is_given_up = False
        self._transport: asyncio.Transport | None = None
        self._reader = FrameReader()
        self._heard_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's does not inherit from it
        if len(self._links) >= MAX_LINKS:
            self._transport.abort()
            return
        self._links.add(self)
        self._timer = self._loop.call_later(HANDSHAKE_TIMEOUT_S, self._transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._links.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        bound, self._bound = self._bound, {}
        for stream in bound.values():
            stream.fail(
                SenderSilent()
                if self._is_given_up
                else StreamLost("the replica went away before the answer was complete")
            )

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._heard_at = self._loop.time()
        try:
            if not self._is_proven:
                data = self._shake_hands(data)
            for stream_id, kind, payload in self._reader.feed(data):
                self._on_frame(stream_id, kind, payload)
        except BadFrame as exc:
            logger.warning("a connection to the channel is closed: %s", exc)
            assert self._transport is not None
            self._transport.abort()

    @property
    def is_open(self) -> bool:
        return self._transport is not None

    @property
    def num_streams(self) -> int:
        return len(self._bound)

    def ask(self, stream: Incoming, call_id: int, payload: bytes) -> None:
        """Ask the sender for a stream more of a call that it works on."""
        stream.bind(self)
        self._bound[stream.id] = stream
        self._write(ask(stream.id, call_id, payload))

    def send_credit(self, stream_id: int, num_bytes: int) -> None:
        self._write(credit(stream_id, num_bytes))

    def send_reset(self, stream_id: int, reason: str) -> None:
        self._bound.pop(stream_id, None)
        self._write(frame(stream_id, Kind.RESET, reason.encode()[:1024]))

    # --------

    def _shake_hands(self, data: bytes) -> bytes:
        """Read the sender's hello, answer with ours and a proof, read its proof; what came after it."""
        before = len(self._handshake)
        self._handshake += data
        if len(self._handshake) < HELLO_BYTES:
            return b""
        greeting = read_hello(self._handshake[:HELLO_BYTES])
        if greeting is None:
            raise BadFrame("a stranger does not say hello")
        version, nonce = greeting
        if before < HELLO_BYTES:
            self._write(hello(self._nonce) + proof(self._key, "caller", self._nonce, nonce))
        if version != VERSION:
            logger.warning("a sender is refused: its channel has version %d, ours %d", version, VERSION)
            self.close()  # and not abort: it shall read which version ours is
            return b""
        size = HELLO_BYTES + PROOF_BYTES
        if len(self._handshake) < size:
            return b""
        if not is_proof(self._handshake[HELLO_BYTES:size], self._key, "sender", nonce, self._nonce):
            raise BadFrame("a stranger does not know the key")
        self._is_proven = True
        self._watch()
        return self._handshake[size:]

    def _on_frame(self, stream_id: int, kind: Kind, payload: bytes) -> None:
        if not self._is_proven:
            raise BadFrame("a stranger sends frames")
        if kind is Kind.PONG:
            return
        stream = self._bound.get(stream_id) or self._streams.get(stream_id)
        if stream is None or not stream.bind(self):
            if kind is Kind.DATA:  # its reader left before it began
                self._write(frame(stream_id, Kind.RESET, CancelReason.CALLER_LEFT.encode()))
            return
        if kind is Kind.DATA:
            self._bound[stream_id] = stream
            stream.put(payload)
        elif kind is Kind.END:
            self._bound.pop(stream_id, None)
            stream.end()
        elif kind is Kind.ERROR:
            self._bound.pop(stream_id, None)
            stream.fail(decode_error(payload))
        elif kind is Kind.NOT_TAKEN:
            self._bound.pop(stream_id, None)
            stream.fail(NotTaken())
        else:
            raise BadFrame(f"a sender does not send {kind.name}")

    def _watch(self) -> None:
        """Ask a sender that is silent although it has streams; give it up when it does not answer."""
        assert self._timer is not None
        self._timer.cancel()
        if self._transport is None:
            return
        silent_s = self._loop.time() - self._heard_at
        if self._bound and silent_s >= self._silence_s:
            logger.warning("a sender is given up: it has not answered for %.1f s", silent_s)
            self._is_given_up = True
            self._transport.abort()
            return
        if self._bound and silent_s >= self._silence_s / 4:
            self._write(frame(NO_STREAM, Kind.PING))
        elif not self._bound:
            self._heard_at = self._loop.time()
        self._timer = self._loop.call_later(self._silence_s / 4, self._watch)

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)
