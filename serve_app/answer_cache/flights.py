"""Requests that are the same at the same time are computed once.

The work belongs to nobody who asked: it goes on as long as anybody waits for it, and is stopped when the last one
has left. A task of its own does it until there is a first frame, and whenever several wait. Whoever asked first and is
alone reads the rest of a stream without it, because two tasks that wake for each token cost more than the token: who
comes then waits for the next frame, with which a task takes over; if the one who reads leaves before that, the work is
lost with them and begun anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

from serve_app.errors import MantaError, Unavailable
from serve_app.front.base import Ask
from serve_app.openai_api.responses import DONE

logger = logging.getLogger("manta.answer_cache")

Keep = Callable[["Flight"], Coroutine[Any, Any, None]]


class LeftAlone(Exception):
    """What was waited for ended with somebody else's request, before anything of it was given."""


class Flight:
    """One computation and its frames so far.

    Args:
        ask: whose work it is; its `told` is complete with the first frame.
        source: the answer. Different tasks read it, one after the other.
        keep: what is done with the frames when they are all there; nobody waits for it.
        home: is told when it is over.
        may_lead: whoever asked first may read the source.
    """

    def __init__(
        self, ask: Ask, source: AsyncGenerator[bytes], keep: Keep, home: Flights, *, may_lead: bool
    ) -> None:
        self.ask = ask
        self.frames: list[bytes] = []
        self._source = source
        self._keep = keep
        self._home = home
        self._may_lead = may_lead
        self._leader_waits = False
        self._num_waiting = 0
        self._is_reading = False  # the leader waits for the source
        self._is_over = False
        self._error: BaseException | None = None
        self._waiting: list[asyncio.Future[None]] = []  # for news; an Event costs several times as much
        self._task: asyncio.Task[None] | None = None  # None: the leader reads

    def start(self) -> None:
        self._task = asyncio.create_task(self._work())
        self._task.add_done_callback(self._ended)

    async def follow(self, *, leads: bool = False) -> AsyncGenerator[bytes]:
        """All frames, those of the past first.

        Args:
            leads: for the one who asked first.

        Raises:
            LeftAlone: see there.
            Exception: what the work raises.
        """
        self._join(leads=leads)
        num_seen = 0
        try:
            while True:
                while num_seen < len(self.frames) and (leads or self._is_anybodys):
                    num_seen += 1
                    yield self.frames[num_seen - 1]
                if self._is_over:
                    break
                if leads and self._task is None:
                    await self._read()
                else:
                    news = asyncio.get_running_loop().create_future()
                    self._waiting.append(news)
                    await news
            if self._error is not None:
                raise _own(self._error)
        finally:
            await self._leave(leads=leads)

    @property
    def _is_anybodys(self) -> bool:
        """What the leader reads alone may be lost with it: nobody else has it before a task reads."""
        return self._task is not None or (self._is_over and not isinstance(self._error, LeftAlone))

    def _join(self, *, leads: bool) -> None:
        self._num_waiting += 1
        self._leader_waits |= leads
        if self._task is None and not self._is_reading and not self._is_over:
            self.start()

    async def _leave(self, *, leads: bool) -> None:
        self._num_waiting -= 1
        self._leader_waits &= not leads
        if self._num_waiting or self._is_over:
            return
        if self.frames and self.frames[-1].endswith(DONE):
            # All of it was read, and only its end was not waited for.
            if self._task is None:
                self.start()
        elif self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        else:
            self._error = _stopped()
            self._finish()
            await self._source.aclose()

    async def _read(self) -> None:
        """The next frame, or the end; by the leader."""
        self._is_reading = True
        try:
            frame = await anext(self._source, None)
        except asyncio.CancelledError:
            self._error = LeftAlone()
            self._finish()
            raise
        except Exception as exc:  # noqa: BLE001 (it is raised to all who wait)
            self._error = exc
            self._finish()
            return
        finally:
            self._is_reading = False
        if frame is None:
            self._finish()
            self._home.go_on(self._keep(self))
            await asyncio.sleep(0)  # where that takes no waiting, it is done before anybody can ask again
            return
        self._add(frame)
        if self._num_waiting > 1:
            self.start()

    async def _work(self) -> None:
        """Compute for all who wait, and keep what came out; or until the leader may go on alone."""
        try:
            async for frame in self._source:
                self._add(frame)
                if self._may_lead and self._leader_waits and self._num_waiting == 1:
                    self._task = None
                    return
        finally:
            if self._task is not None:
                await self._source.aclose()
        self._finish()
        await self._keep(self)

    def _add(self, frame: bytes) -> None:
        self.frames.append(frame)
        self._tell()

    def _finish(self) -> None:
        """There is no more to come; what the work does from now on nobody waits for."""
        self._is_over = True
        self._home.over(self)
        self._tell()

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, []
        for news in waiting:
            if not news.done():  # whoever was cancelled waits no more
                news.set_result(None)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task is not self._task:
            return  # the leader reads, or another task
        if task.cancelled():
            self._error = self._error or _stopped()
        elif (error := task.exception()) is not None:
            self._error = error
            if self._is_over:  # nobody waits any more
                _log(error)
        self._finish()


class Flights:
    """Those of one replica, by key."""

    def __init__(self) -> None:
        self._flights: dict[str, Flight] = {}
        self._keys: dict[Flight, str] = {}
        self._going_on: set[asyncio.Task[None]] = set()

    def get(self, key: str) -> Flight | None:
        """The one that goes on."""
        return self._flights.get(key)

    def start(
        self, key: str, ask: Ask, source: AsyncGenerator[bytes], keep: Keep, *, may_lead: bool
    ) -> Flight:
        """Begin the work."""
        flight = Flight(ask, source, keep, self, may_lead=may_lead)
        self._flights[key], self._keys[flight] = flight, key
        flight.start()
        return flight

    def over(self, flight: Flight) -> None:
        """Who comes now computes anew."""
        key = self._keys.pop(flight, None)
        if key is not None and self._flights.get(key) is flight:
            del self._flights[key]

    def go_on(self, work: Coroutine[Any, Any, None]) -> None:
        """Something that nobody waits for."""
        task = asyncio.create_task(work)
        self._going_on.add(task)
        task.add_done_callback(self._gone_on)

    def _gone_on(self, task: asyncio.Task[None]) -> None:
        self._going_on.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log(error)

    def __len__(self) -> int:
        return len(self._flights)


def _stopped() -> Unavailable:
    return Unavailable("the answer's computation was stopped", 1.0)


def _log(error: BaseException) -> None:
    logger.error("an answer could not be kept", exc_info=error)


def _own(error: BaseException) -> BaseException:
    """An error of one's own for each who waits: a traceback grows with everybody who raises it."""
    return type(error)(*error.args).with_traceback(None) if isinstance(error, MantaError) else error
