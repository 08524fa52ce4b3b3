"""The wait for the first replica of what is scaled to zero: bounded, and told to who reads a stream.

A streaming client gets a comment every few seconds (`: mock is starting, 4 s`), which OpenAI's clients skip
and proxies take for life. The first comment takes the status 200 with it, so an error after it can only be
told as an event; before it, and without a stream, errors keep their status.

Knows nothing of Serve: who uses it says whether a replica runs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from serve_app.errors import Unavailable
from serve_app.streams import close

T = TypeVar("T")

TELL_EVERY_S = 3.0
# A start that took longer than anybody waited may end at any time; more than this helps nobody.
MAX_RETRY_AFTER_S = 30.0


class ColdStart:
    """The wait of one request.

    Args:
        name: of the model, in comments and in the error.
        timeout_s: seconds without a replica after which the request is given up.
        is_asleep: whether no replica runs; asked every `tell_every_s` until there is an answer.
        clock, pause: seconds that only grow, and how to let some pass.
    """

    def __init__(
        self,
        name: str,
        timeout_s: float,
        is_asleep: Callable[[], bool],
        *,
        tell_every_s: float = TELL_EVERY_S,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._name = name
        self._timeout_s = timeout_s
        self._is_asleep = is_asleep
        self._tell_every_s = tell_every_s
        self._clock = clock
        self._pause = pause

    async def stream(self, frames: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
        """The frames, and comments before the first one while no replica runs.

        Closing it closes `frames`. Only the first frame is awaited in a task of its own.

        Raises:
            Unavailable: no replica ran within the time-out; comments may have been given before.
        """
        first = asyncio.create_task(_next(frames))
        try:
            async with aclosing(self._waits(first)) as waits:
                async for waited_s in waits:
                    yield f": {self._name} is starting, {waited_s:.0f} s\n\n".encode()
            frame = first.result()
            if frame is None:
                return
            yield frame
            async for frame in frames:
                yield frame
        finally:
            try:
                await _cancelled(first)
            finally:
                await close(frames)

    async def respond(self, answer: Coroutine[Any, Any, T]) -> T:
        """What `answer` returns.

        Raises:
            Unavailable: no replica ran within the time-out; `answer` was cancelled.
        """
        task = asyncio.create_task(answer)
        try:
            async with aclosing(self._waits(task)) as waits:
                async for _ in waits:
                    pass
            return task.result()
        finally:
            await _cancelled(task)

    async def _waits(self, task: asyncio.Task[Any]) -> AsyncGenerator[float]:
        """How long no replica has run, each time that there is something to tell, until the task is done."""
        since_s: float | None = self._clock()
        while True:
            now_s = self._clock()
            left_s = self._timeout_s if since_s is None else since_s + self._timeout_s - now_s
            await self._wait(task, min(self._tell_every_s, left_s))
            if task.done():
                return
            if not self._is_asleep():
                since_s = None  # a replica has the request, or another one will: no longer our wait
                continue
            since_s = now_s if since_s is None else since_s
            waited_s = self._clock() - since_s
            if waited_s >= self._timeout_s:
                raise Unavailable(
                    f"{self._name} was asleep and has not started within {self._timeout_s:g} s",
                    min(self._timeout_s, MAX_RETRY_AFTER_S),
                )
            yield waited_s

    async def _wait(self, task: asyncio.Task[Any], seconds: float) -> None:
        """Until the task is done, or for so long."""
        timer = asyncio.ensure_future(self._pause(seconds))
        try:
            await asyncio.wait({task, timer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()


async def _next(frames: AsyncIterator[bytes]) -> bytes | None:
    """The next frame; None: there is none."""
    return await anext(frames, None)


async def _cancelled(task: asyncio.Task[Any]) -> None:
    """Return when the task is over, and leave its error to who asked for its result."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
