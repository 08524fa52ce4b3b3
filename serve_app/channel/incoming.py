"""One stream as its receiver sees it: an async iterator of bytes, bounded and told when it breaks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from serve_app.channel.frames import MAX_PAYLOAD_BYTES, WINDOW_BYTES, BadFrame

# The sender may pass its window with one message, never with more.
MAX_UNREAD_BYTES = WINDOW_BYTES + MAX_PAYLOAD_BYTES


class NotTaken(Exception):
    """The call that was to take the stream was over by then; nothing was done for it."""


class SenderSilent(Exception):
    """The replica that sends the stream, or that was asked to, has not answered for too long."""


class Returns(Protocol):
    """The connection that a stream comes by, as its receiver uses it."""

    @property
    def is_open(self) -> bool: ...

    @property
    def num_streams(self) -> int: ...

    def ask(self, stream: Incoming, call_id: int, payload: bytes) -> None: ...

    def send_credit(self, stream_id: int, num_bytes: int) -> None: ...

    def send_reset(self, stream_id: int, reason: str) -> None: ...


class Incoming:
    """Made by `Inbox.open`; `close` it, whatever happens. For one reader.

    Each item is all that has come since the last one.
    """

    __slots__ = (
        "_error",
        "_forget",
        "_is_over",
        "_link",
        "_num_read",
        "_num_unread",
        "_unread",
        "_waiter",
        "id",
    )

    def __init__(self, stream_id: int, forget: Callable[[int], object]) -> None:
        self.id = stream_id
        self._forget = forget
        self._link: Returns | None = None  # None: nothing came yet
        self._unread: list[bytes] = []
        self._num_unread = 0
        self._num_read = 0  # since the last credit
        self._is_over = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    def __aiter__(self) -> Incoming:
        return self

    async def __anext__(self) -> bytes:
        """What came.

        Raises:
            StopAsyncIteration: the sender told the end.
            Exception: what the sender told instead, or what `fail` was given; after all that came before.
        """
        while not self._unread:
            if self._error is not None:
                raise self._error
            if self._is_over:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._take()

    @property
    def link(self) -> Returns | None:
        """The connection that it comes by; None: it is not known yet."""
        return self._link

    @property
    def is_over(self) -> bool:
        """Nothing more will come, whether it was read or not."""
        return self._is_over

    @property
    def has_begun(self) -> bool:
        """The sender has sent something, if only its end."""
        return self._link is not None

    def fail(self, error: Exception) -> None:
        """End it with this error, unless it is over."""
        if not self._is_over:
            self._is_over = True
            self._error = error
            self._wake()

    def give_up(self, error: Exception, reason: str) -> None:
        """End it with this error, and tell the sender why nobody wants the rest."""
        if not self._is_over:
            self.fail(error)
            self._reset(reason)

    def close(self, reason: str = "") -> None:
        """Nobody reads the rest: the sender is told, if it still sends. Closing twice is fine."""
        self._forget(self.id)
        if not self._is_over:
            self._is_over = True
            self._reset(reason)
        self._unread.clear()
        self._error = None  # once raised, its traceback has the reader's frames, and those have this

    # -------- for the connection

    def bind(self, link: Returns) -> bool:
        """Belong to this connection from now on; False: it belongs to another."""
        if self._link is None:
            self._link = link
        return self._link is link

    def put(self, data: bytes) -> None:
        """Data came.

        Raises:
            BadFrame: the sender does not keep to its window.
        """
        if self._is_over or not data:
            return
        self._num_unread += len(data)
        if self._num_unread > MAX_UNREAD_BYTES:
            raise BadFrame(f"stream {self.id} sends more than it may: {self._num_unread} bytes are unread")
        self._unread.append(data)
        self._wake()

    def end(self) -> None:
        """The sender told the end."""
        self._is_over = True
        self._wake()

    # --------

    def _take(self) -> bytes:
        data = self._unread[0] if len(self._unread) == 1 else b"".join(self._unread)
        self._unread.clear()
        self._num_read += self._num_unread
        self._num_unread = 0
        if self._num_read >= WINDOW_BYTES // 2 and not self._is_over and self._link is not None:
            self._link.send_credit(self.id, self._num_read)
            self._num_read = 0
        return data

    def _reset(self, reason: str) -> None:
        if self._link is not None:
            self._link.send_reset(self.id, reason)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
