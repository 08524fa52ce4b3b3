"""Keys in Redis, for all replicas of the ingress on all machines.

PREFIX:keys:records      hash: id -> record
PREFIX:keys:generations  sorted set: id, by the generation in which it was written
PREFIX:keys:generation   the newest
"""

from __future__ import annotations

from redis.asyncio import Redis
from redis.exceptions import RedisError

from serve_app.errors import Unavailable
from serve_app.identity.base import KeyChanges, KeyRecord
from serve_app.identity.key_codec import decode_record, encode_record

# One script, so that no reader sees a generation without its record.
_PUT = """
local generation = redis.call('INCR', KEYS[3])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], generation, ARGV[1])
return generation
"""
_CHANGES = """
local ids = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[1], '+inf')
local found = {redis.call('GET', KEYS[3]) or '0'}
for _, id in ipairs(ids) do
  found[#found + 1] = redis.call('HGET', KEYS[1], id)
end
return found
"""


class RedisKeyStore:
    """A KeyStore in Redis."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        base = f"{{{prefix}}}:keys"  # braces: one slot of a Redis cluster
        self._redis = redis
        self._names = (f"{base}:records", f"{base}:generations", f"{base}:generation")

    async def put(self, record: KeyRecord) -> None:
        try:
            await self._redis.eval(_PUT, 3, *self._names, record.id, encode_record(record))
        except RedisError as exc:
            raise _gone(exc) from exc

    async def changes(self, since: int) -> KeyChanges:
        try:
            generation, *records = await self._redis.eval(_CHANGES, 3, *self._names, since)
            newest = int(generation)
            if newest < since:  # Redis was emptied or restored: what is known counts from there
                return await self.changes(0) if newest else KeyChanges(0, ())
            return KeyChanges(newest, tuple(decode_record(record) for record in records))
        except RedisError as exc:
            raise _gone(exc) from exc
        except (ValueError, KeyError, TypeError) as exc:
            raise Unavailable("Redis holds a key's record that is none of ours") from exc

    async def close(self) -> None:
        await self._redis.aclose()


def _gone(exc: RedisError) -> Unavailable:
    return Unavailable(f"the keys' Redis does not answer: {exc.__class__.__name__}")
