"""The session store that a configuration describes. Imports what is configured, and no more."""

from __future__ import annotations

from pathlib import Path

from configs.schema import SessionsConfig
from serve_app.sessions.base import SessionStore
from serve_app.sessions.record import Limits
from serve_app.sessions.store import RecordedSessions, Records


def open_sessions(config: SessionsConfig, folder: Path) -> SessionStore:
    """The store; nothing is reached before its first use.

    Args:
        config: with the Redis of `store: redis` filled in.
        folder: Manta's home.

    Raises:
        ConfigError: Redis' password is not set.
    """
    limits = Limits(config.max_messages, config.max_bytes, drops_unsummarised=config.summary_model is None)
    return RecordedSessions(_records(config, folder), limits)


def _records(config: SessionsConfig, folder: Path) -> Records:
    if config.store == "redis":
        from serve_app.redis_client import open_redis
        from serve_app.sessions.redis_records import RedisRecords

        assert config.redis is not None  # the application's builder sees to it
        redis = open_redis(config.redis)
        return RedisRecords(redis, config.redis.prefix, config.ttl_s, config.max_per_user)
    from serve_app.sessions.embedded import EmbeddedRecords

    return EmbeddedRecords(folder / "sessions" / "sessions.sqlite3", config.ttl_s, config.max_per_user)
