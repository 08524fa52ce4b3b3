"""Streams between replicas: bounded by the request's deadline, and joined so that a hop costs little.

All take an async iterator; the two that give an async generator close what it was made of when they
are closed, at once, because that is how a caller that left frees an engine's slot.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from types import TracebackType
from typing import TypeVar

from serve_app.errors import DeadlineExceeded
from serve_app.messages import Deadline

T = TypeVar("T")

# For generators that yield nothing and must be generators all the same.
NO_ITEMS: tuple[bytes, ...] = ()


class Interrupt:
    """`with interrupt:` runs a block that others can end, wherever it waits, with an error.

    One after the other may be run with the same interrupt. What cancels the task for reasons of its own
    goes through as always (as `asyncio.timeout` has it).
    """

    __slots__ = ("_error", "_num_cancels", "_task")

    def __init__(self) -> None:
        self._task: asyncio.Task[object] | None = None  # that runs the block now
        self._num_cancels = 0  # that others had asked for before the block
        self._error: Exception | None = None

    def strike(self, error: Exception) -> bool:
        """Make the block raise `error`; False if no block runs, or one was struck before."""
        if self._task is None or self._error is not None:
            return False
        self._error = error
        self._task.cancel()
        return True

    def __enter__(self) -> None:
        self._task = asyncio.current_task()
        assert self._task is not None
        self._num_cancels = self._task.cancelling()

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        error, self._error = self._error, None
        if error is None:
            return
        assert task is not None
        is_ours_alone = task.uncancel() <= self._num_cancels
        if is_ours_alone and kind is asyncio.CancelledError:
            try:
                raise error from raised
            finally:
                # Its traceback has this frame: all that the block held would wait for the garbage collector.
                del error, raised, trace


async def until_deadline(stream: AsyncIterator[T], deadline: Deadline, stage: str) -> AsyncGenerator[T]:
    """The stream's items until it ends or the deadline is over.

    One timer for the whole stream, because one for each token costs as much as the token. It interrupts
    the wait for an item, and never the consumer while that works with one.

    Raises:
        DeadlineExceeded: the time was over while waiting for an item; it names `stage`.
    """
    waiting = Interrupt()
    error = DeadlineExceeded(f"the request's time was over at: {stage}", stage)
    seconds = max(0.0, deadline.remaining_s())
    timer = asyncio.get_running_loop().call_later(seconds, waiting.strike, error)
    try:
        while True:
            # A stream that always has an item ready never suspends, so that no timer could stop it.
            deadline.check(stage)
            try:
                with waiting:
                    item = await anext(stream)
            except StopAsyncIteration:
                return
            yield item
    finally:
        timer.cancel()
        await close(stream)


async def next_within(stream: AsyncIterator[T], deadline: Deadline, stage: str) -> T:
    """The stream's next item.

    Raises:
        StopAsyncIteration: there is none.
        DeadlineExceeded: it did not come in time; the stream is broken by then and is to be closed.
    """
    # A stream that always has an item ready never suspends, so that no timer could stop it.
    deadline.check(stage)
    try:
        async with asyncio.timeout(deadline.remaining_s()) as timer:
            return await anext(stream)
    except TimeoutError as exc:
        if not timer.expired():
            raise  # the stream's own
        raise DeadlineExceeded(f"the request's time was over at: {stage}", stage) from exc


async def joined(
    stream: AsyncIterator[bytes], window_s: float, max_frames: int = 256
) -> AsyncGenerator[bytes]:
    """The stream's frames, joined so that no two messages leave within `window_s` of each other.

    A message between replicas costs far more than a token in it, so tokens share messages. The first
    frame leaves at once, and so does every frame that comes after a pause; no frame waits longer than
    `window_s`. An error is raised after the frames that came before it.

    At most `max_frames` are kept for a consumer that is slow; then the source is not asked for more.
    """
    clock = asyncio.get_running_loop().time
    frames: list[bytes] = []
    is_over = False
    has_news = asyncio.Event()  # a frame or the end
    is_urgent = asyncio.Event()  # the buffer is full, or the end: nothing is gained by waiting
    has_room = asyncio.Event()

    async def read() -> None:
        nonlocal is_over
        try:
            async for frame in stream:
                frames.append(frame)
                has_news.set()
                if len(frames) >= max_frames:
                    has_room.clear()
                    is_urgent.set()
                    await has_room.wait()
        finally:
            is_over = True
            has_news.set()
            is_urgent.set()

    reader = asyncio.create_task(read())
    sent_at = clock() - window_s
    try:
        while True:
            await has_news.wait()
            await _wait(is_urgent, sent_at + window_s - clock())
            batch = b"".join(frames)
            frames.clear()
            has_room.set()
            if not is_over:
                # Before the yield: what arrives while the consumer works must wake the next round.
                has_news.clear()
                is_urgent.clear()
            if batch:
                sent_at = clock()
                yield batch
            elif is_over:
                break
        await reader  # its error is the stream's
    finally:
        reader.cancel()
        try:
            await asyncio.gather(reader, return_exceptions=True)
        finally:
            await close(stream)


async def close(stream: AsyncIterator[object]) -> None:
    """Close a generator; an iterator that has nothing to close is left alone."""
    aclose = getattr(stream, "aclose", None)
    if aclose is not None:
        await aclose()


async def _wait(event: asyncio.Event, seconds: float) -> None:
    if seconds <= 0 or event.is_set():
        return
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
