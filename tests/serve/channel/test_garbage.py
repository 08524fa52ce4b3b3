"""What ended leaves nothing that waits for the garbage collector, whose pauses hold up all streams of a replica."""

from __future__ import annotations

import asyncio
import gc
import math
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from serve_app.calls import Caller
from serve_app.channel.asked import Asked
from serve_app.channel.inbox import Inbox
from serve_app.channel.outbox import Outbox, StreamReset
from serve_app.errors import BadRequest, MantaError
from serve_app.messages import Deadline, RequestContext


class Replica:
    """A deployment with one replica, and a handle to it; keeps nothing of what it did."""

    def __init__(self) -> None:
        self.make: Callable[[], AsyncIterator[bytes]] = two
        self.num_ended = 0
        self._outbox = Outbox("a")

    def options(self, **options: object) -> Replica:
        return self

    @property
    def work_by_channel(self) -> Replica:
        return self

    def remote(self, asked: Asked) -> Call:
        return Call(self._outbox.send_call(asked, self._send))

    async def close(self) -> None:
        await self._outbox.close()

    async def _send(self, asked: Asked) -> None:
        with suppress(StreamReset):
            await self._outbox.send_all(self.make(), asked.reply_to)
        self.num_ended += 1


class Call:
    """A streaming response without items."""

    def __init__(self, work: Any) -> None:
        self._task = asyncio.ensure_future(work)

    def cancel(self) -> None:
        self._task.cancel()

    async def __anext__(self) -> bytes:
        await self._task
        raise StopAsyncIteration


async def two() -> AsyncIterator[bytes]:
    yield b"one"
    yield b"two"


async def endless() -> AsyncIterator[bytes]:
    yield b"first"
    await asyncio.Event().wait()


async def refuse() -> AsyncIterator[bytes]:
    yield b"first"
    raise BadRequest("no", "seed")


async def read_all(stream: AsyncIterator[bytes]) -> None:
    async for _ in stream:
        pass


async def read_one(stream: AsyncIterator[bytes]) -> None:
    await anext(stream)


@contextmanager
def what_is_left() -> Iterator[list[str]]:
    """The types of the objects of the block that only the collector can free."""
    gc.collect()
    gc.disable()
    left: list[str] = []
    try:
        yield left
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left += [type(one).__qualname__ for one in gc.garbage]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


@pytest.mark.parametrize(
    ("make", "read", "seconds"),
    [
        (two, read_all, 60.0),
        (endless, read_one, 60.0),  # the client leaves
        (endless, read_all, 0.05),  # its time is over
        (refuse, read_all, 60.0),
    ],
    ids=["whole", "left", "late", "refused"],
)
async def test_a_stream_leaves_no_cycles(
    make: Callable[[], AsyncIterator[bytes]], read: Callable[[AsyncIterator[bytes]], Any], seconds: float
) -> None:
    inbox, replica = Inbox("a", "127.0.0.1"), Replica()
    caller = Caller(replica, "mock", inbox, own_calls_per_s=math.inf)  # type: ignore[arg-type]

    async def once(make: Callable[[], AsyncIterator[bytes]]) -> None:
        replica.make = make
        num_before = replica.num_ended
        stream = caller.stream("work", context=RequestContext("r", "t", Deadline.after(seconds)))
        with suppress(MantaError):
            await read(stream)
        await stream.aclose()
        async with asyncio.timeout(10):
            while replica.num_ended == num_before:  # noqa: ASYNC110 (nothing to wait on)
                await asyncio.sleep(0.001)

    await once(make)
    await once(make)
    with what_is_left() as left:
        await once(make)
        await once(make)
        # Of the last one something may still be held by who just ended it.
        replica.make = two
        for _ in range(10):
            await asyncio.sleep(0.01)
    await replica.close()
    inbox.close()
    assert left == []
