"""Sessions in Redis, for all replicas on all machines.

{PREFIX:sessions:USER}:one:ID  hash: revision, document, info; expires by itself
{PREFIX:sessions:USER}:all     sorted set: id, by the time of its last write

USER is a digest of tenant and user: braces and spaces in names would be understood by Redis, and everything of one
user has to be in one slot of a cluster.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from serve_app.errors import Unavailable
from serve_app.sessions.base import Session, SessionInfo, SessionKey
from serve_app.sessions.record import decode, encode
from serve_app.sessions.store import info_of

# KEYS: one, all. ARGV: revision, new revision, document, info, ttl in ms, now, id, most of one user, one's prefix.
_WRITE = """
local revision = redis.call('HGET', KEYS[1], 'revision') or '0'
if revision ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'revision', ARGV[2], 'document', ARGV[3], 'info', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call('ZADD', KEYS[2], ARGV[6], ARGV[7])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', ARGV[6] - ARGV[5] / 1000)
redis.call('PEXPIRE', KEYS[2], ARGV[5])
local over = redis.call('ZCARD', KEYS[2]) - ARGV[8]
if over > 0 then
  for _, id in ipairs(redis.call('ZRANGE', KEYS[2], 0, over - 1)) do
    redis.call('DEL', ARGV[9] .. id)
    redis.call('ZREM', KEYS[2], id)
  end
end
return 1
"""
# KEYS: all. ARGV: one's prefix.
_INFOS = """
local found = {}
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local info = redis.call('HGET', ARGV[1] .. id, 'info')
  if info then found[#found + 1] = info end
end
return found
"""


class RedisRecords:
    """Records in Redis."""

    def __init__(
        self,
        redis: Redis,
        prefix: str,
        ttl_s: float,
        max_per_user: int,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._redis = redis
        self._prefix = prefix
        self._ttl_ms = max(1, round(ttl_s * 1000))
        self._max_per_user = max_per_user
        self._now_s = now_s

    async def read(self, key: SessionKey) -> Session | None:
        one, _ = self._names(key.tenant, key.user_id)
        try:
            document = await self._redis.hget(one + key.session_id, "document")
            return None if document is None else decode(document)
        except RedisError as exc:
            raise _gone(exc) from exc
        except (ValueError, KeyError, TypeError) as exc:
            raise _strange() from exc

    async def write(self, key: SessionKey, session: Session, revision: int) -> bool:
        one, every = self._names(key.tenant, key.user_id)
        arguments: list[Any] = [
            revision,
            session.revision,
            encode(session),
            json.dumps(asdict(info_of(key.session_id, session))),
            self._ttl_ms,
            self._now_s(),
            key.session_id,
            self._max_per_user,
            one,
        ]
        try:
            return bool(await self._redis.eval(_WRITE, 2, one + key.session_id, every, *arguments))
        except RedisError as exc:
            raise _gone(exc) from exc

    async def infos(self, tenant: str, user_id: str) -> list[SessionInfo]:
        one, every = self._names(tenant, user_id)
        try:
            found = await self._redis.eval(_INFOS, 1, every, one)
            return [SessionInfo(**json.loads(info)) for info in found]
        except RedisError as exc:
            raise _gone(exc) from exc
        except (ValueError, KeyError, TypeError) as exc:
            raise _strange() from exc

    async def delete(self, key: SessionKey) -> bool:
        one, every = self._names(key.tenant, key.user_id)
        try:
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.delete(one + key.session_id)
                pipe.zrem(every, key.session_id)
                num_deleted, _ = await pipe.execute()
        except RedisError as exc:
            raise _gone(exc) from exc
        return bool(num_deleted)

    async def close(self) -> None:
        await self._redis.aclose()

    def _names(self, tenant: str, user_id: str) -> tuple[str, str]:
        """(what the name of one session begins with, the name of the set of all) of a user."""
        user = hashlib.sha256(json.dumps([tenant, user_id]).encode()).hexdigest()[:32]
        base = f"{{{self._prefix}:sessions:{user}}}"
        return f"{base}:one:", f"{base}:all"


def _gone(exc: RedisError) -> Unavailable:
    return Unavailable(f"the sessions' Redis does not answer: {exc.__class__.__name__}")


def _strange() -> Unavailable:
    return Unavailable("Redis holds a session that is none of ours")
