"""Requests that are the same at the same time are computed once.

The work belongs to nobody who asked: it goes on as long as anybody waits for it, and is stopped when the last one
has left.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

from serve_app.errors import MantaError, Unavailable
from serve_app.front.base import Ask

logger = logging.getLogger("manta.answer_cache")


class Flight:
    """One computation and its frames so far."""

    def __init__(self, ask: Ask, when_over: Callable[[], None]) -> None:
        self._when_over = when_over
        self.ask = ask  # whose work it is; its `told` is complete with the first frame
        self.frames: list[bytes] = []
        self._num_waiting = 0
        self._is_over = False
        self._error: BaseException | None = None
        self._waiting: list[asyncio.Future[None]] = []  # for news; an Event costs several times as much
        self._task: asyncio.Task[None] | None = None

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        self._task = asyncio.create_task(work)
        self._task.add_done_callback(self._ended)

    def add(self, frame: bytes) -> None:
        self.frames.append(frame)
        self._tell()

    def finish(self) -> None:
        """There is no more to come; what the work does from now on nobody waits for."""
        self._is_over = True
        self._when_over()
        self._tell()

    async def follow(self) -> AsyncGenerator[bytes]:
        """All frames, those of the past first. Raises what the work raises."""
        self._num_waiting += 1
        num_seen = 0
        try:
            while True:
                while num_seen < len(self.frames):
                    num_seen += 1
                    yield self.frames[num_seen - 1]
                if self._is_over:
                    break
                news = asyncio.get_running_loop().create_future()
                self._waiting.append(news)
                await news
            if self._error is not None:
                raise _own(self._error)
        finally:
            self._num_waiting -= 1
            if not self._num_waiting and not self._is_over and self._task is not None:
                self._task.cancel()
                await asyncio.gather(self._task, return_exceptions=True)

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, []
        for news in waiting:
            if not news.done():  # whoever was cancelled waits no more
                news.set_result(None)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            self._error = self._error or Unavailable("the answer's computation was stopped", 1.0)
        elif (error := task.exception()) is not None:
            self._error = error
            if self._is_over:  # nobody waits any more
                logger.error("an answer could not be kept", exc_info=error)
        self.finish()


class Flights:
    """Those of one replica, by key."""

    def __init__(self) -> None:
        self._flights: dict[str, Flight] = {}

    def get(self, key: str) -> Flight | None:
        """The one that goes on."""
        return self._flights.get(key)

    def start(self, key: str, ask: Ask, work: Callable[[Flight], Coroutine[Any, Any, None]]) -> Flight:
        """Begin the work. It calls `add` for each frame, and `finish`."""

        def over() -> None:
            if self._flights.get(key) is flight:
                del self._flights[key]

        flight = self._flights[key] = Flight(ask, over)
        flight.start(work(flight))
        return flight

    def __len__(self) -> int:
        return len(self._flights)


def _own(error: BaseException) -> BaseException:
    """An error of one's own for each who waits: a traceback grows with everybody who raises it."""
    return type(error)(*error.args).with_traceback(None) if isinstance(error, MantaError) else error
