"""Streams between replicas: bounded by the request's deadline, and joined so that a hop costs little.

Both take an async iterator and give an async generator; closing it closes what it was made of, at
once, because that is how a caller that left frees an engine's slot.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TypeVar

from serve_app.errors import DeadlineExceeded
from serve_app.messages import Deadline

T = TypeVar("T")


async def until_deadline(stream: AsyncIterator[T], deadline: Deadline, stage: str) -> AsyncGenerator[T]:
    """The stream's items until it ends or the deadline is over.

    Each wait has its own timer: one timer around the whole loop would also strike while the consumer
    works, in the consumer's code.

    Raises:
        DeadlineExceeded: the time was over while waiting for an item; it names `stage`.
    """
    try:
        while True:
            try:
                async with asyncio.timeout(deadline.remaining_s()):
                    item = await anext(stream)
            except StopAsyncIteration:
                return
            except TimeoutError as exc:
                raise DeadlineExceeded(f"the request's time was over at: {stage}", stage) from exc
            yield item
    finally:
        await close(stream)


async def joined(stream: AsyncIterator[bytes], window_s: float) -> AsyncGenerator[bytes]:
    """The stream's frames with later ones joined: the first leaves at once, then what came within a window.

    A message between replicas costs far more than a token in it, so tokens share messages. No frame
    waits longer than `window_s`; an error is raised after the frames that came before it.
    """
    frames: list[bytes] = []
    failure: list[BaseException] = []
    is_over = asyncio.Event()
    has_frames = asyncio.Event()

    async def read() -> None:
        try:
            async for frame in stream:
                frames.append(frame)
                has_frames.set()
        except Exception as exc:  # noqa: BLE001 (carried to the consumer, who raises it)
            failure.append(exc)
        finally:
            is_over.set()
            has_frames.set()

    reader = asyncio.create_task(read())
    try:
        is_first = True
        while True:
            await has_frames.wait()
            if not is_first and not is_over.is_set():
                await _wait(is_over, window_s)
            batch = b"".join(frames)
            frames.clear()
            if batch:
                is_first = False
                yield batch
            if is_over.is_set() and not frames:
                break
            if not is_over.is_set():
                has_frames.clear()
        if failure:
            raise failure[0]
    finally:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
        await close(stream)


async def close(stream: AsyncIterator[object]) -> None:
    """Close a generator; an iterator that has nothing to close is left alone."""
    aclose = getattr(stream, "aclose", None)
    if aclose is not None:
        await aclose()


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
