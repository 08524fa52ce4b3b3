"""The counts in Redis, for all replicas of the ingress."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import NoScriptError, RedisError

from serve_app.errors import Unavailable
from serve_app.limits.base import Check, Claim, Decision, Kind, Settlement, Standing, UsageRow
from serve_app.limits.calendar import Calendar
from serve_app.limits.lua import ACQUIRE, SETTLE
from serve_app.redis_client import SharedRedis
from serve_app.redis_line import Command

_MS_PER_MIN = 60_000.0
_SEPARATOR = "\x1f"
_MAX_SPECS = 4096
_COUNTS = {
    "requests": "num_requests",
    "prompt": "num_prompt_tokens",
    "answer": "num_answer_tokens",
    "nano_usd": "nano_usd",
}


@dataclass(frozen=True, slots=True)
class _Spec:
    """What the scripts are told of a request's limits; the same for all requests that have to pass the same."""

    checks: tuple[Check, ...]
    keys: tuple[str, ...]
    text: str


class RedisLimits:
    """A LimitStore in Redis."""

    def __init__(self, redis: SharedRedis, prefix: str, calendar: Calendar | None = None) -> None:
        self._redis = redis
        self._base = f"{{{prefix}}}"
        self._calendar = calendar or Calendar()
        self._acquire = _sha(ACQUIRE)
        self._settle = _sha(SETTLE)
        self._specs: dict[int, _Spec] = {}  # id of the checks, which it keeps alive -> it

    async def acquire(self, claim: Claim) -> Decision:
        if not claim.checks:
            return Decision()
        spec = self._spec(claim.checks)
        told = (claim.lease_id, round(claim.lease_s * 1000), *_claimed(claim), spec.text)
        arguments: Command = (len(spec.keys), *spec.keys, *told)
        try:
            try:
                reply = await self._redis.ask("EVALSHA", self._acquire, *arguments)
            except NoScriptError:  # the first time, and after Redis has started again
                reply = await self._redis.ask("EVAL", ACQUIRE, *arguments)
        except RedisError as exc:
            raise _gone(exc) from exc
        return _decision(claim.checks, [int(number) for number in reply.split()])

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        told = [self._settled(settlement) for settlement in settlements]
        try:
            replies = await self._redis.ask_all([("EVALSHA", self._settle, *one) for one in told])
            # The first time, and after Redis has started again: then nothing of them was done.
            unknown = [
                one for one, reply in zip(told, replies, strict=True) if isinstance(reply, NoScriptError)
            ]
            if unknown:
                first, *others = unknown  # the first brings the script
                replies = await self._redis.ask_all(
                    [("EVAL", SETTLE, *first), *(("EVALSHA", self._settle, *one) for one in others)]
                )
        except RedisError as exc:
            raise _gone(exc) from exc
        for reply in replies:
            if isinstance(reply, RedisError):
                raise _gone(reply)

    async def usage(self, num_days: int) -> tuple[UsageRow, ...]:
        days = self._calendar.last_days(num_days)
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                for day in days:
                    pipe.hgetall(f"{self._base}:usage:{day}")
                tables = await pipe.execute()
        except RedisError as exc:
            raise _gone(exc) from exc
        return tuple(row for day, table in zip(days, tables, strict=True) for row in _rows(day, table))

    async def save(self) -> None:
        """What is settled is Redis' to keep."""

    async def close(self) -> None:
        await self._redis.aclose()

    def _settled(self, settlement: Settlement) -> Command:
        used, spec = settlement.usage, self._spec(settlement.claim.checks)
        return (
            len(spec.keys),
            *spec.keys,
            settlement.claim.lease_id,
            f"{self._base}:usage:",
            _SEPARATOR.join(part.replace(_SEPARATOR, "") for part in (used.tenant, used.who, used.model)),
            used.num_requests,
            used.num_prompt_tokens,
            used.num_answer_tokens,
            used.nano_usd,
            *_claimed(settlement.claim),
            spec.text,
        )

    def _spec(self, checks: tuple[Check, ...]) -> _Spec:
        # By identity: they come from a CheckBook, which keeps them, and hashing them takes longer than all the rest.
        spec = self._specs.get(id(checks))
        if spec is None or spec.checks is not checks:
            if len(self._specs) >= _MAX_SPECS:
                self._specs.clear()
            keys = tuple(f"{self._base}:limit:{check.kind}:{check.scope}" for check in checks)
            text = "\n".join(f"{check.kind} {_limit(check)!r} {check.burst!r}" for check in checks)
            spec = self._specs[id(checks)] = _Spec(checks, keys, text)
        return spec


def _claimed(claim: Claim) -> tuple[int, int, int]:
    return claim.num_requests, claim.num_tokens, claim.nano_usd


def _decision(checks: Sequence[Check], reply: Sequence[int]) -> Decision:
    refusing, wait_ms, *rest = reply
    standings = tuple(
        Standing(check, max(0.0, left if check.is_money else left / 1000), max(0, reset_ms) / 1000)
        for check, left, reset_ms in zip(checks, rest[::2], rest[1::2], strict=True)
    )
    refused_by = checks[refusing - 1] if refusing else None
    return Decision(standings, refused_by, wait_ms / 1000 if refusing else 0.0)


def _rows(day: str, table: dict[bytes, bytes]) -> list[UsageRow]:
    rows: dict[tuple[str, str, str], UsageRow] = {}
    for field, count in table.items():
        tenant, who, model, name = field.decode().split(_SEPARATOR)
        amount: dict[str, Any] = {_COUNTS[name]: int(count)}
        counted = UsageRow(day, tenant, who, model, **amount)
        known = rows.get((tenant, who, model))
        rows[tenant, who, model] = counted if known is None else known + counted
    return list(rows.values())


def _limit(check: Check) -> float:
    return check.limit / _MS_PER_MIN if check.kind in (Kind.REQUESTS, Kind.TOKENS) else check.limit


def _sha(script: str) -> str:
    return hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()  # how Redis names scripts


def _gone(exc: RedisError) -> Unavailable:
    return Unavailable(f"the limits' Redis does not answer: {exc.__class__.__name__}")
