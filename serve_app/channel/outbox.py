"""The sending side: an engine's or agent's replica, with one connection to each of its callers.

`send_all` runs a source into its stream. It ends when the source ends, and cancels the source when the
caller resets the stream, when its connection breaks, or when its own task is cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from contextvars import copy_context
from types import TracebackType
from typing import Any

from serve_app.channel.address import ChannelAddress, ReplyTo
from serve_app.channel.asked import Asked
from serve_app.channel.connecting import SenderLink, connect
from serve_app.channel.faults import encode_error
from serve_app.channel.frames import WINDOW_BYTES, Kind
from serve_app.errors import MantaError, StreamLost
from serve_app.messages import CancelReason
from serve_app.streams import Interrupt, close


class StreamReset(Exception):
    """The caller does not want the rest, for its `reason`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Outbox:
    """All streams that one replica sends."""

    def __init__(self, node_id: str) -> None:
        self._node_id = node_id
        self._links: dict[str, asyncio.Task[SenderLink]] = {}
        self._streams: set[Outgoing] = set()

    @property
    def num_streams(self) -> int:
        return len(self._streams)

    @property
    def num_links(self) -> int:
        return len(self._links)

    async def send_call(self, asked: Asked, send: Callable[[Asked], Coroutine[Any, Any, None]]) -> None:
        """Run `send` for a call's stream and for those that its caller asks for while any of them runs.

        Args:
            send: sends one stream, all of it.

        Raises:
            ChannelUnavailable: see `open`; nothing was sent.
            Exception: what `send` raised first, after all are over.
        """
        link = await self._link(asked.reply_to.address)
        sending = _Sending(send)
        with link.taking(asked.reply_to.stream_id, sending.begin):
            sending.begin(asked)
            await sending.over()

    async def open(self, reply_to: ReplyTo) -> Outgoing:
        """A stream to the caller.

        Raises:
            ChannelUnavailable: there is no connection to be had; the caller may ask without a channel.
        """
        link = await self._link(reply_to.address)
        return Outgoing(link, reply_to.stream_id)

    async def send_all(self, source: AsyncIterator[bytes], reply_to: ReplyTo) -> MantaError | None:
        """Run `source` into the caller's stream; its error too, if it is one of our tree, and return that.

        Raises:
            ChannelUnavailable: see `open`; the source was closed before its first item.
            StreamReset: the caller did not want the rest.
            Exception: the source's own, when the caller could not be told.
        """
        try:
            outgoing = await self.open(reply_to)
            self._streams.add(outgoing)
            try:
                with outgoing:
                    return await _send_all(source, outgoing)
            finally:
                self._streams.discard(outgoing)
        finally:
            await close(source)

    def end_all(self, error: MantaError) -> int:
        """End the streams that still run, and tell their callers why; how many there were."""
        streams = list(self._streams)
        for outgoing in streams:
            outgoing.end(error)
        return len(streams)

    async def close(self) -> None:
        """Close every connection; what was written still leaves."""
        for task in list(self._links.values()):
            task.cancel()
            with suppress(asyncio.CancelledError, MantaError):
                (await task).close()

    async def _link(self, address: ChannelAddress) -> SenderLink:
        """The connection to a caller, made by the first of the streams that want it."""
        task = self._links.get(address.id)
        if task is None:
            task = asyncio.create_task(connect(address, self._node_id))
            self._links[address.id] = task
            task.add_done_callback(lambda done: self._watch(address.id, done))
        # Shielded: a stream that is cancelled meanwhile must not take the others' connection with it.
        return await asyncio.shield(task)

    def _watch(self, address_id: str, connecting: asyncio.Task[SenderLink]) -> None:
        if connecting.cancelled() or connecting.exception() is not None:
            del self._links[address_id]
            return
        connecting.result().on_lost = lambda: self._links.pop(address_id, None)


class Outgoing:
    """One stream as its sender sees it. A context manager of the task that sends.

    When the caller resets the stream, the connection breaks or `end` is called, the task is interrupted
    wherever it waits, and the block raises StreamReset.
    """

    __slots__ = ("_credit", "_has_credit", "_interrupt", "_is_finished", "_link", "id", "is_first", "pending")

    def __init__(self, link: SenderLink, stream_id: int) -> None:
        self.id = stream_id
        self.pending: list[bytes] = []  # not yet written; the link's
        self.is_first = True  # the link's: nothing was written yet
        self._link = link
        self._credit = WINDOW_BYTES
        self._has_credit: asyncio.Future[None] | None = None
        self._interrupt = Interrupt()
        self._is_finished = False

    def __enter__(self) -> Outgoing:
        self._interrupt.__enter__()
        self._link.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._link.remove(self)
        if not self._is_finished:
            # Cancelled, or failed in a way that is not ours: the caller hears of it now.
            self._finish(Kind.ERROR, encode_error(_told(error)))
        self._interrupt.__exit__(kind, error, trace)

    async def send(self, data: bytes) -> None:
        """Send one message; waits while the caller has too much unread."""
        while self._credit <= 0:
            self._has_credit = asyncio.get_running_loop().create_future()
            await self._has_credit
        if not self._link.can_write:
            await self._link.writable()
        self._credit -= len(data)
        self._link.write(self, data)

    def finish(self, error: MantaError | None = None) -> None:
        """Tell the end, or what came instead. Whatever was sent before arrives before."""
        if error is None:
            self._finish(Kind.END, b"")
        else:
            self._finish(Kind.ERROR, encode_error(error))

    def end(self, error: MantaError) -> None:
        """Tell the caller this, and interrupt the sender."""
        if not self._is_finished:
            self.finish(error)
            self._interrupt.strike(StreamReset(CancelReason.REPLACED))

    def grant(self, num_bytes: int) -> None:
        """The caller has read so much."""
        self._credit += num_bytes
        if self._has_credit is not None and not self._has_credit.done() and self._credit > 0:
            self._has_credit.set_result(None)

    def reset(self, reason: str) -> None:
        """The caller does not want the rest: interrupt the sender."""
        if not self._is_finished:
            self._is_finished = True
            self._interrupt.strike(StreamReset(reason))

    def _finish(self, kind: Kind, payload: bytes) -> None:
        self._is_finished = True
        self._link.write_last(self, kind, payload)


class _Sending:
    """Streams of one call, each in a task."""

    def __init__(self, send: Callable[[Asked], Coroutine[Any, Any, None]]) -> None:
        self._send = send
        self._context = copy_context()  # Serve's own, of the call
        self._running: set[asyncio.Task[None]] = set()
        self._fault: BaseException | None = None

    def begin(self, asked: Asked) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(self._send(asked), context=self._context.copy())
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    async def over(self) -> None:
        """Return when none runs; raises the first fault. Cancelled, it ends all of them."""
        try:
            while self._running:
                await asyncio.wait(self._running)
        except asyncio.CancelledError:
            while self._running:  # the caller may ask for one more meanwhile
                for task in self._running:
                    task.cancel()
                await asyncio.wait(self._running)
            raise
        if self._fault is not None:
            raise self._fault

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            self._fault = self._fault or task.exception()


async def _send_all(source: AsyncIterator[bytes], outgoing: Outgoing) -> MantaError | None:
    try:
        async for data in source:
            await outgoing.send(data)
    except MantaError as exc:
        outgoing.finish(exc)
        return exc
    outgoing.finish()
    return None


def _told(error: BaseException | None) -> Exception:
    return (
        error
        if isinstance(error, Exception)
        else StreamLost("the replica stopped before the answer was complete")
    )
