"""Answers in Redis, for all replicas of the ingress.

An answer is a value that Redis forgets by itself. The questions of a scope are a stream that is trimmed to its newest;
each replica keeps the vectors that it has read and asks only for what is new, so a lookup is one round trip.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from redis.exceptions import RedisError

from serve_app.answer_cache.base import Candidate, Entry, Vector
from serve_app.answer_cache.codec import from_bytes, to_bytes
from serve_app.answer_cache.embedded import Scope
from serve_app.errors import Unavailable
from serve_app.redis_client import SharedRedis

# Scopes whose vectors a replica keeps; of others it reads them again.
_MAX_SCOPES = 256


class _Known:
    """What this replica has read of a scope."""

    __slots__ = ("last_id", "scope", "until_s")

    def __init__(self) -> None:
        self.scope = Scope()
        self.last_id = b"0-0"
        self.until_s: OrderedDict[str, float] = OrderedDict()  # key -> when its answer is gone


class RedisAnswers:
    """An AnswerStore in Redis."""

    def __init__(
        self, redis: SharedRedis, prefix: str, max_questions: int, clock: Callable[[], float] = time.time
    ) -> None:
        self._redis = redis
        self._prefix = f"{prefix}:answers"
        self._max_questions = max_questions
        self._clock = clock
        self._known: OrderedDict[str, _Known] = OrderedDict()  # least used first

    async def get(self, key: str) -> Entry | None:
        try:
            data: bytes | None = await self._redis.ask("GET", f"{self._prefix}:{key}")
        except RedisError as exc:
            raise _gone(exc) from exc
        return None if data is None else from_bytes(data)

    async def put(
        self, key: str, entry: Entry, ttl_s: float, scope: str | None = None, vector: Vector | None = None
    ) -> None:
        ttl_ms = max(1, round(ttl_s * 1000))
        name, data = f"{self._prefix}:{key}", to_bytes(entry)
        try:
            if scope is None or vector is None:
                await self._redis.ask("SET", name, data, "PX", ttl_ms)
                return
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.set(name, data, px=ttl_ms)
                stream = self._stream(scope)
                until_s = repr(self._clock() + ttl_s)
                fields = {"key": key, "vector": vector.astype("<f4").tobytes(), "until": until_s}
                pipe.xadd(stream, fields, maxlen=self._max_questions, approximate=False)  # type: ignore[arg-type]
                pipe.pexpire(stream, ttl_ms)  # of the newest: with it the last answer is gone
                await pipe.execute()
        except RedisError as exc:
            raise _gone(exc) from exc

    async def nearest(self, scope: str, vector: Vector, k: int) -> Sequence[Candidate]:
        known = self._known.get(scope)
        if known is None:
            known = self._known[scope] = _Known()
            if len(self._known) > _MAX_SCOPES:
                self._known.popitem(last=False)
        self._known.move_to_end(scope)
        try:
            news: Any = await self._redis.xrange(self._stream(scope), min=b"(" + known.last_id)
        except RedisError as exc:
            raise _gone(exc) from exc
        self._learn(known, news)
        return known.scope.nearest(vector, k)

    async def close(self) -> None:
        await self._redis.aclose()

    def _learn(self, known: _Known, news: Sequence[tuple[bytes, dict[bytes, bytes]]]) -> None:
        for entry_id, fields in news:
            key = fields[b"key"].decode()
            known.scope.remove(key)
            known.scope.add(key, np.frombuffer(fields[b"vector"], dtype="<f4").astype(np.float32))
            known.until_s.pop(key, None)
            known.until_s[key] = float(fields[b"until"])
            known.last_id = max(known.last_id, entry_id, key=_order)
        now_s = self._clock()
        gone = [key for key, until_s in known.until_s.items() if until_s <= now_s]
        gone += list(known.until_s)[: max(0, len(known.until_s) - self._max_questions)]
        for key in gone:
            known.scope.remove(key)
            known.until_s.pop(key, None)

    def _stream(self, scope: str) -> str:
        return f"{self._prefix}:scope:{scope}"


def _order(entry_id: bytes) -> tuple[int, int]:
    """Ids of a stream in their order: `MILLISECONDS-NUMBER`."""
    time_ms, _, number = entry_id.partition(b"-")
    return int(time_ms), int(number or 0)


def _gone(exc: RedisError) -> Unavailable:
    return Unavailable(f"the answer cache's Redis does not answer: {exc.__class__.__name__}")
