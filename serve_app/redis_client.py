"""A client of the Redis that replicas share, as the configuration describes it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as ConnectionLost

from configs.load import ProfileError, secret
from configs.schema import RedisConfig
from serve_app.errors import ConfigError
from serve_app.redis_line import Command, Line, take_over

# Commands of one replica that are under way at once by the pool; others wait for a connection, as long as for an
# answer. (The client's own pool would refuse the 101st, which would look like a Redis that is gone.)
_MAX_CONNECTIONS = 32


class SharedRedis(Redis):
    """Redis' client, and beside its pool one connection for what every request asks.

    Args:
        timeout_s: for an answer.
    """

    def __init__(self, pool: BlockingConnectionPool, timeout_s: float) -> None:
        super().__init__(connection_pool=pool)
        self.auto_close_connection_pool = True  # as from_pool has it
        self._timeout_s = timeout_s
        self._line: Line | None = None
        self._line_connection: AbstractConnection | None = None
        self._opening: asyncio.Task[Line] | None = None
        self._is_closed = False

    async def ask(self, *command: str | bytes | int | float) -> Any:
        """The reply to one command by the shared connection: bytes, a number, a list, or None.

        Raises:
            RedisError: Redis is gone, or refuses the command.
        """
        (reply,) = await self.ask_all((command,))
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def ask_all(self, commands: Sequence[Command]) -> list[Any]:
        """The replies to several in one write, in their order; of one that is refused the error is the reply.

        Raises:
            RedisError: Redis is gone. What was done is not known.
        """
        line = self._line
        if line is not None and line.is_open:
            try:
                return await line.ask(commands)
            except ConnectionLost:
                pass  # a kept connection may turn out to be dead: Redis was started again, or has closed it
        return await (await self._open_line()).ask(commands)

    async def aclose(self, close_connection_pool: bool | None = None) -> None:  # noqa: FBT001 (as the client has it)
        self._is_closed = True
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        await self._hang_up()
        await super().aclose(close_connection_pool)

    async def _open_line(self) -> Line:
        if self._is_closed:
            raise ConnectionLost("the client was closed")
        if self._line is not None and self._line.is_open:
            return self._line
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
            self._opening.add_done_callback(self._opened)
        return await asyncio.shield(self._opening)  # whoever else waits for it must not be left without

    async def _open(self) -> Line:
        await self._hang_up()
        pool = self.connection_pool
        # RESP2: on its connections Redis says nothing that it was not asked.
        connection = pool.connection_class(**{**pool.connection_kwargs, "protocol": 2})
        await connection.connect()  # type: ignore[no-untyped-call]
        self._line_connection = connection
        writer = connection._writer  # noqa: SLF001 (the client gives it away nowhere)
        assert writer is not None  # it is connected
        self._line = take_over(writer.transport, self._timeout_s)
        return self._line

    def _opened(self, opening: asyncio.Task[Line]) -> None:
        self._opening = None
        if not opening.cancelled():
            opening.exception()  # also where nobody waits for it any more

    async def _hang_up(self) -> None:
        line, self._line = self._line, None
        connection, self._line_connection = self._line_connection, None
        if line is not None:
            line.close()
        if connection is not None:
            await connection.disconnect(nowait=True)


def open_redis(config: RedisConfig) -> SharedRedis:
    """Connects when it is first used; one more try where a kept connection turns out to be dead.

    Raises:
        ConfigError: its password is configured and not there.
    """
    try:
        password = None if config.password is None else secret(config.password)
    except ProfileError as exc:
        raise ConfigError(f"door.redis: {exc}") from exc
    pool = BlockingConnectionPool.from_url(
        config.url,
        max_connections=_MAX_CONNECTIONS,
        timeout=config.timeout_s,
        username=config.username,
        password=password,
        socket_timeout=config.timeout_s,
        socket_connect_timeout=config.timeout_s,
        retry=Retry(NoBackoff(), 1),
    )
    return SharedRedis(pool, config.timeout_s)
