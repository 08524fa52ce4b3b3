"""One connection to Redis that the commands of all requests share.

A command is written as soon as it is asked, and Redis answers in order: so nobody waits for a connection of their own,
and a reply costs one look into the parser. A pool's connection is for one command at a time, with a deadline, a lock
and a reader of its own, which together cost several times what the command does.

Knows nothing of what is asked.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import hiredis
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import InvalidResponse, NoScriptError, RedisError, ResponseError
from redis.exceptions import TimeoutError as TooLate

Command = tuple[str | bytes | int | float, ...]

# Written and not taken by Redis' side: more waits only for a Redis that does not read.
MAX_UNSENT_BYTES = 16 * 2**20
_NOTHING_YET = object()


@dataclass(slots=True)
class _Asked:
    """Commands that were written together."""

    num: int
    at_s: float  # on the loop's clock
    told: asyncio.Future[list[Any]]
    replies: list[Any] = field(default_factory=list)


class Line(asyncio.Protocol):
    """A connection that is open, logged in, and asked nothing so far. To be made the transport's protocol.

    Args:
        timeout_s: a Redis that has not answered a command for so long is given up, with all that wait behind it.
    """

    def __init__(self, transport: asyncio.Transport, timeout_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._timeout_s = timeout_s
        self._parser = hiredis.Reader(
            protocolError=InvalidResponse, replyError=_error, notEnoughData=_NOTHING_YET
        )
        self._asked: deque[_Asked] = deque()
        self._alarm: asyncio.TimerHandle | None = None
        self.is_open = True

    def ask(self, commands: Sequence[Command]) -> asyncio.Future[list[Any]]:
        """The replies, in their order; of a command that Redis refused the error is its reply.

        Raises, then or later:
            ConnectionLost: there is no connection any more; what was done of it is not known.
            TooLate: the same, after `timeout_s`.
        """
        told: asyncio.Future[list[Any]] = self._loop.create_future()
        if not self.is_open or self._transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            told.set_exception(ConnectionLost("the connection is closed, or Redis does not read"))
            return told
        self._asked.append(_Asked(len(commands), self._loop.time(), told))
        self._transport.write(b"".join(map(hiredis.pack_command, commands)))  # type: ignore[arg-type]
        if self._alarm is None:
            self._alarm = self._loop.call_later(self._timeout_s, self._watch)
        return told

    def close(self) -> None:
        """Whoever waits is told that the connection is lost."""
        self._give_up(ConnectionLost("the connection was closed"))

    # -------- for the transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed(data)
        try:
            while (reply := self._parser.gets()) is not _NOTHING_YET:
                self._take(reply)
        except (InvalidResponse, IndexError) as exc:
            self._give_up(ConnectionLost(f"Redis says what nobody understands: {exc.__class__.__name__}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._give_up(ConnectionLost("Redis closed the connection" if exc is None else str(exc)))

    # --------

    def _take(self, reply: Any) -> None:
        asked = self._asked[0]
        asked.replies.append(reply)
        if len(asked.replies) == asked.num:
            self._asked.popleft()
            if not asked.told.done():  # whoever asked may have left
                asked.told.set_result(asked.replies)

    def _watch(self) -> None:
        """Of all that wait the first was asked first, so one alarm does for all of them."""
        self._alarm = None
        if not self._asked:
            return
        left_s = self._asked[0].at_s + self._timeout_s - self._loop.time()
        if left_s <= 0:
            self._give_up(TooLate(f"Redis has not answered for {self._timeout_s:g} s"))
        else:
            self._alarm = self._loop.call_later(left_s, self._watch)

    def _give_up(self, error: RedisError) -> None:
        self.is_open = False
        self._transport.abort()
        if self._alarm is not None:
            self._alarm.cancel()
        waiting, self._asked = self._asked, deque()
        for asked in waiting:
            if not asked.told.done():
                asked.told.set_exception(type(error)(*error.args))


def take_over(transport: asyncio.BaseTransport, timeout_s: float) -> Line:
    """The line over an open connection that nothing is under way on."""
    line = Line(cast("asyncio.Transport", transport), timeout_s)  # uvloop's does not inherit from it
    transport.set_protocol(line)
    return line


def _error(text: str) -> ResponseError:
    return NoScriptError(text) if text.startswith("NOSCRIPT") else ResponseError(text)
