"""A client of the Redis that replicas share, as the configuration describes it."""

from __future__ import annotations

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from configs.load import ProfileError, secret
from configs.schema import RedisConfig
from serve_app.errors import ConfigError


def open_redis(config: RedisConfig) -> Redis:
    """Connects when it is first used; one more try where a kept connection turns out to be dead.

    Raises:
        ConfigError: its password is configured and not there.
    """
    try:
        password = None if config.password is None else secret(config.password)
    except ProfileError as exc:
        raise ConfigError(f"door.redis: {exc}") from exc
    client: Redis = Redis.from_url(
        config.url,
        username=config.username,
        password=password,
        socket_timeout=config.timeout_s,
        socket_connect_timeout=config.timeout_s,
        retry=Retry(NoBackoff(), 1),
    )
    return client
