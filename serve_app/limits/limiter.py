"""The limits of one replica of the ingress: asks the store, decides alone while that is gone, settles afterwards.

While the shared store is gone each replica admits its share of every limit, and of what was left of it, so that all
together admit no more than is allowed, however often the store goes and comes; decisions say that they are local.
Settlements are sent behind the requests' backs, many at once (a store in this process has them at once); what was
admitted alone is charged to the store by them.
So a client that has read its answer's end can ask again before its place is given back: whoever is refused for
want of a place is looked at once more, a moment later.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

from serve_app.errors import Unavailable
from serve_app.limits.base import Check, Claim, Decision, Kind, LimitStore, Settlement, UsageRow
from serve_app.limits.embedded import EmbeddedLimits

logger = logging.getLogger("manta.limits")

# How long the store counts as gone after it did not answer: one request a while finds out, the others do not wait.
GONE_S = 1.0
SAVE_EVERY_S = 1.0
MAX_WAITING = 10_000  # settlements; about a KB each
MAX_KNOWN = (
    10_000  # limits of which it is known what is left; those that were looked at longest ago are forgotten
)
# In which the place of an answer that has just ended is given back, by whichever replica it was of.
RELEASE_S = 0.05
MAX_SECOND_LOOKS = 64  # that wait at once; a flood beyond any limit is refused without delay
_MAX_BATCH = 256
_S_PER_MIN = 60.0


class Limiter:
    """Limits over a store.

    Args:
        store: keeps the counts.
        num_replicas: that share it, at most; None: it is this replica's own and cannot be gone.
        clock: monotonic seconds.
        sleep: waits so many of them.
    """

    def __init__(
        self,
        store: LimitStore,
        num_replicas: int | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._own = store if isinstance(store, EmbeddedLimits) else None
        self._sleep = sleep
        self._settling = asyncio.Lock()
        self._num_second_looks = 0
        self._num_replicas = num_replicas
        self._clock = clock
        self._alone: EmbeddedLimits | None = None  # while the store is gone
        self._ask_again_s = 0.0
        # (scope, kind) -> what was left of it for all replicas, and when
        self._left: dict[tuple[str, Kind], tuple[float, float]] = {}
        self._waiting: deque[Settlement] = deque()
        self._has_news = asyncio.Event()
        self.num_lost = 0  # settlements that found no place

    async def acquire(self, claim: Claim) -> Decision:
        """Whether the request may go on.

        Raises:
            Unavailable: a store of this replica's own cannot be read.
        """
        if not claim.checks:
            return Decision()
        decision = await self._decide(claim)
        if decision.refused_by is None or decision.refused_by.kind is not Kind.CONCURRENT:
            return decision
        return await self._look_again(claim, decision)

    async def _look_again(self, claim: Claim, refused: Decision) -> Decision:
        """The decision after the places of answers that have ended by now were given back."""
        if self._num_second_looks >= MAX_SECOND_LOOKS:
            return refused
        self._num_second_looks += 1
        try:
            await self._sleep(RELEASE_S)
            with suppress(Unavailable):
                await self.flush()
            return await self._decide(claim)
        finally:
            self._num_second_looks -= 1

    async def _decide(self, claim: Claim) -> Decision:
        if self._num_replicas is None:
            return await self._store.acquire(claim)
        if self._alone is not None and self._clock() < self._ask_again_s:
            return self._decide_alone(self._alone, claim)
        self._ask_again_s = self._clock() + GONE_S  # while this one asks, others do not wait for it
        try:
            decision = await self._store.acquire(claim)
        except Unavailable as exc:
            if self._alone is None:
                logger.warning("limits are decided by each replica alone: %s", exc.message)
                self._alone = EmbeddedLimits(clock=self._clock)
            return self._decide_alone(self._alone, claim)
        if self._alone is not None:
            logger.warning("limits are shared again")
            self._alone = None
        for standing in decision.standings:
            self._know(standing.check, standing.remaining)
        return decision

    def finish(self, settlement: Settlement, *, is_local: bool) -> None:
        """A request that was admitted is over. Never waits."""
        if self._own is not None:
            self._own.settle_one(settlement)
            return
        if is_local:
            if self._alone is not None:
                shared = replace(settlement.claim, checks=self._shares(settlement.claim))
                self._alone.correct(replace(settlement, claim=shared))
            # The store knows nothing of it yet: all that it took is news.
            unknown = replace(settlement.claim, num_tokens=0, nano_usd=0, num_requests=0)
            settlement = replace(settlement, claim=unknown)
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.popleft()
            self.num_lost += 1
        self._waiting.append(settlement)
        self._has_news.set()

    async def flush(self) -> None:
        """Send what waits.

        Raises:
            Unavailable: the store cannot be reached; what waits goes on waiting.
        """
        self._has_news.clear()
        async with self._settling:  # what is on its way already has arrived when this returns, too
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(_MAX_BATCH, len(self._waiting)))]
                try:
                    await self._store.settle(batch)
                except BaseException:
                    self._waiting.extendleft(reversed(batch))
                    raise

    async def run(self) -> None:
        """Settle and save, until it is cancelled."""
        saved_s = self._clock()
        is_failing = False
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(SAVE_EVERY_S):
                    await self._has_news.wait()
            try:
                await self.flush()
                if self._clock() - saved_s >= SAVE_EVERY_S:
                    saved_s = self._clock()
                    await self._store.save()
            except Unavailable as exc:
                if not is_failing:
                    logger.warning("usage waits to be counted: %s", exc.message)
                is_failing = True
                await asyncio.sleep(GONE_S)
            else:
                is_failing = False

    async def usage(self, num_days: int) -> tuple[UsageRow, ...]:
        """As the store's; what this replica has not sent yet is sent first.

        Raises:
            Unavailable: the store cannot be reached.
        """
        await self.flush()
        return await self._store.usage(num_days)

    async def close(self) -> None:
        """Send what waits, if that is possible, and let go of the store."""
        try:
            await self.flush()
        except Unavailable as exc:
            logger.warning("the usage of %d requests is lost: %s", len(self._waiting), exc.message)
        with suppress(Unavailable):
            await self._store.close()

    def _decide_alone(self, alone: EmbeddedLimits, claim: Claim) -> Decision:
        checks = self._shares(claim)
        for check in checks:
            if check.is_bucket and (level := self._share_left(check)) is not None:
                alone.lower(check, level)
        decision = alone.decide(replace(claim, checks=checks))
        for standing in decision.standings:
            if standing.check.is_bucket:  # for the next time that the store is gone
                self._know(standing.check, standing.remaining * self._num_shares)
        return replace(decision, is_local=True)

    @property
    def _num_shares(self) -> int:
        return self._num_replicas or 1

    def _know(self, check: Check, left: float) -> None:
        if check.kind is Kind.CONCURRENT:
            return  # leases end by themselves
        place = (check.scope, check.kind)
        self._left.pop(place, None)
        self._left[place] = left, self._clock()
        if len(self._left) > MAX_KNOWN:
            del self._left[next(iter(self._left))]

    def _share_left(self, share: Check) -> float | None:
        """This replica's share of what a bucket held, and of what has come into it since; None: not known."""
        known = self._left.get((share.scope, share.kind))
        if known is None:
            return None
        left, at_s = known
        return left / self._num_shares + (self._clock() - at_s) * share.limit / _S_PER_MIN

    def _shares(self, claim: Claim) -> tuple[Check, ...]:
        return tuple(self._share(check) for check in claim.checks)

    def _share(self, check: Check) -> Check:
        known = self._left.get((check.scope, check.kind))
        if known is not None and check.is_money:
            check = replace(check, limit=known[0])
        return check.share(self._num_shares)
