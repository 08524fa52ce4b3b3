"""A client of the Redis that replicas share, as the configuration describes it."""

from __future__ import annotations

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from configs.load import ProfileError, secret
from configs.schema import RedisConfig
from serve_app.errors import ConfigError

# Commands of one replica that are under way at once; others wait for a connection, as long as for an answer. (The
# client's own pool would refuse the 101st, which would look like a Redis that is gone.)
_MAX_CONNECTIONS = 32


def open_redis(config: RedisConfig) -> Redis:
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
    return Redis.from_pool(pool)
