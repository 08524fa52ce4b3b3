"""The counts of an application that has one replica of the ingress: in memory, with usage and money on disk.

Buckets and leases are forgotten when the process ends, which gives nobody more than one burst; money is not.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from serve_app.limits.base import Check, Claim, Decision, Kind, Settlement, Standing, UsageRow
from serve_app.limits.calendar import Calendar
from serve_app.limits.ledger import Ledger

_S_PER_MIN = 60.0
# Leases end with their requests, which nobody here can foresee; OpenAI's clients back off on their own.
CONCURRENT_RETRY_S = 1.0
_SWEEP_AT = 10_000  # buckets, after which those that are full again are forgotten


class _Bucket:
    __slots__ = ("at_s", "level")

    def __init__(self, level: float, at_s: float) -> None:
        self.level = level
        self.at_s = at_s

    def refill(self, check: Check, now: float) -> float:
        self.level = min(check.burst, self.level + (now - self.at_s) * check.limit / _S_PER_MIN)
        self.at_s = now
        return self.level


class _Leases:
    """Of one scope."""

    __slots__ = ("_ends_s", "_next_end_s")

    def __init__(self) -> None:
        self._ends_s: dict[str, float] = {}  # lease id -> when it ends
        self._next_end_s = math.inf  # none ends before; so hardly any look has to go through all of them

    def __len__(self) -> int:
        return len(self._ends_s)

    def take(self, lease_id: str, end_s: float) -> None:
        self._ends_s[lease_id] = end_s
        self._next_end_s = min(self._next_end_s, end_s)

    def give_back(self, lease_id: str) -> None:
        self._ends_s.pop(lease_id, None)

    def end(self, now: float) -> None:
        """Forget those whose time is over."""
        if now >= self._next_end_s:
            self._ends_s = {one: end_s for one, end_s in self._ends_s.items() if end_s > now}
            self._next_end_s = min(self._ends_s.values(), default=math.inf)


class EmbeddedLimits:
    """A LimitStore in this process.

    Args:
        ledger: keeps usage; None: it is forgotten with the process.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        ledger: Ledger | None = None,
        *,
        calendar: Calendar | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._calendar = calendar or Calendar(clock)
        self._clock = clock
        self._buckets: dict[tuple[str, str], _Bucket] = {}
        self._leases: dict[str, _Leases] = {}  # by scope; never an empty one
        self._spent: dict[tuple[str, str], int] = {}  # scope, period -> nano-dollars
        self._rows: dict[tuple[str, str, str, str], UsageRow] = {}  # what the ledger has not got yet
        self._is_loaded = ledger is None
        self._loading = asyncio.Lock()
        self._saving = asyncio.Lock()

    async def acquire(self, claim: Claim) -> Decision:
        if not self._is_loaded:
            await self._load()
        return self.decide(claim)

    def decide(self, claim: Claim) -> Decision:
        """As `acquire`, without waiting for anything."""
        now = self._clock()
        refused_by, wait_s, levels = None, 0.0, []
        amounts = [claim.takes(check) for check in claim.checks]
        for check, amount in zip(claim.checks, amounts, strict=True):
            level, missing_s = self._look(check, amount, now)
            levels.append(level)
            if missing_s is not None and (refused_by is None or missing_s > wait_s):
                refused_by, wait_s = check, missing_s
        if refused_by is None:
            for check, amount in zip(claim.checks, amounts, strict=True):
                self._take(check, amount, claim, now)
            levels = [level - amount for level, amount in zip(levels, amounts, strict=True)]
        return Decision(tuple(map(_standing, claim.checks, levels)), refused_by, wait_s)

    def lower(self, check: Check, level: float) -> None:
        """A bucket holds no more than that now."""
        now = self._clock()
        bucket = self._bucket(check, now)
        bucket.level = min(bucket.refill(check, now), level)

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        for settlement in settlements:
            self.settle_one(settlement)

    def settle_one(self, settlement: Settlement) -> None:
        """As `settle`, without waiting for anything."""
        self.correct(settlement)
        day = self._calendar.period(Kind.DAY)
        row = replace(settlement.usage, day=day)
        place = (day, row.tenant, row.who, row.model)
        known = self._rows.get(place)
        self._rows[place] = row if known is None else known + row

    def correct(self, settlement: Settlement) -> None:
        """The limits' part of `settle`: without usage."""
        for check in settlement.claim.checks:
            if check.kind is Kind.CONCURRENT:
                self._give_back(check.scope, settlement.claim.lease_id)
            elif check.is_bucket:
                if correction := settlement.correction(check):
                    self._bucket(check, self._clock()).level -= correction
            elif correction := settlement.correction(check):
                self._spend(check, correction)

    async def usage(self, num_days: int) -> tuple[UsageRow, ...]:
        days = set(self._calendar.last_days(num_days))
        await self.save()
        rows = list(self._rows.values())
        if self._ledger is not None:
            rows += await asyncio.to_thread(self._ledger.read, min(days))
        return tuple(sorted((row for row in rows if row.day in days), key=lambda row: row.day))

    async def save(self) -> None:
        if self._ledger is None or not self._rows:
            return
        async with self._saving:
            rows, self._rows = self._rows, {}
            try:
                await asyncio.to_thread(self._ledger.add, tuple(rows.values()))
            except BaseException:
                for place, row in rows.items():
                    known = self._rows.get(place)
                    self._rows[place] = row if known is None else row + known
                raise

    async def close(self) -> None:
        await self.save()

    async def _load(self) -> None:
        """This month's money, by every scope that a limit can have."""
        async with self._loading:
            if self._is_loaded or self._ledger is None:
                return
            month = self._calendar.period(Kind.MONTH)
            for row in await asyncio.to_thread(self._ledger.read, f"{month}-01"):
                if not row.day.startswith(month):
                    continue
                scopes = (
                    f"key:{row.who}",
                    f"tenant:{row.tenant}",
                    f"model:{row.model}",
                    f"tenant:{row.tenant} model:{row.model}",
                )
                for place in ((scope, period) for scope in scopes for period in (row.day, month)):
                    self._spent[place] = self._spent.get(place, 0) + row.nano_usd
            self._is_loaded = True

    def _look(self, check: Check, amount: float, now: float) -> tuple[float, float | None]:
        """What is left of the limit, and for how long it is too little; None: it is enough."""
        if check.kind is Kind.CONCURRENT:
            left = check.limit - self._num_leases(check.scope, now)
            return left, None if left >= 1 else CONCURRENT_RETRY_S
        if check.is_money:
            left = check.limit - self._spent.get((check.scope, self._calendar.period(check.kind)), 0)
            enough = left > 0 and left >= min(amount, check.limit)
            return left, None if enough else self._calendar.seconds_left(check.kind)
        level = self._bucket(check, now).refill(check, now)
        # What is larger than the bucket is taken as a full one, or it never would pass.
        return level, (amount - level) * _S_PER_MIN / check.limit if amount > level else None

    def _take(self, check: Check, amount: float, claim: Claim, now: float) -> None:
        if check.kind is Kind.CONCURRENT:
            leases = self._leases.get(check.scope)
            if leases is None:
                leases = self._leases[check.scope] = _Leases()
            leases.take(claim.lease_id, now + claim.lease_s)
        elif check.is_bucket:
            self._bucket(check, now).level -= amount
        elif amount:
            self._spend(check, amount)

    def _num_leases(self, scope: str, now: float) -> int:
        leases = self._leases.get(scope)
        if leases is None:
            return 0
        leases.end(now)
        if not leases:
            del self._leases[scope]
        return len(leases)

    def _give_back(self, scope: str, lease_id: str) -> None:
        leases = self._leases.get(scope)
        if leases is not None:
            leases.give_back(lease_id)
            if not leases:
                del self._leases[scope]

    def _bucket(self, check: Check, now: float) -> _Bucket:
        bucket = self._buckets.get(check.place)
        if bucket is None:
            if len(self._buckets) >= _SWEEP_AT:
                self._forget_oldest()
            bucket = self._buckets[check.place] = _Bucket(check.burst, now)
        return bucket

    def _forget_oldest(self) -> None:
        """Half of them, those that were used least lately: most are full again."""
        oldest = sorted(self._buckets, key=lambda place: self._buckets[place].at_s)
        for place in oldest[: _SWEEP_AT // 2]:
            del self._buckets[place]

    def _spend(self, check: Check, nano_usd: float) -> None:
        place = (check.scope, self._calendar.period(check.kind))
        self._spent[place] = max(0, self._spent.get(place, 0) + round(nano_usd))
        if len(self._spent) > _SWEEP_AT:
            kept = {self._calendar.period(Kind.DAY), self._calendar.period(Kind.MONTH)}
            self._spent = {known: spent for known, spent in self._spent.items() if known[1] in kept}


def _standing(check: Check, level: float) -> Standing:
    reset_s = max(0.0, check.burst - level) * _S_PER_MIN / check.limit if check.is_bucket else 0.0
    return Standing(check, max(0.0, level), reset_s)
