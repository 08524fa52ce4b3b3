"""The standings of a tenant's sources, kept at hand: a search asks at once, and never waits for them.

What is at hand may be a little old: it is looked up again beside the searches that want it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from serve_app.errors import MantaError
from serve_app.messages import SourceStanding, Standing

logger = logging.getLogger("manta.retrieval")

Read = Callable[[str], Awaitable[tuple[SourceStanding, ...]]]

_IN_DOUBT = (Standing.STALE, Standing.FAILING)


@dataclass(frozen=True, slots=True)
class _Kept:
    in_doubt: frozenset[str]
    read_at_s: float


class Freshness:
    """Which sources of a tenant are stale or failing, as far as is known now.

    Args:
        read: tenant -> standings of its sources.
        max_age_s: seconds after which they are read again.
        clock: seconds, monotonic.
    """

    def __init__(self, read: Read, max_age_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._max_age_s = max_age_s
        self._clock = clock
        self._kept: dict[str, _Kept] = {}  # tenant -> what is at hand
        self._reading: dict[str, asyncio.Task[None]] = {}

    def begin(self, tenant: str) -> None:
        """Read again what is too old, without waiting for it. Called before what takes time anyway."""
        kept = self._kept.get(tenant)
        is_due = kept is None or self._clock() - kept.read_at_s >= self._max_age_s
        if is_due and tenant not in self._reading:
            self._reading[tenant] = asyncio.create_task(self._refresh(tenant))

    def in_doubt(self, tenant: str, sources: Collection[str]) -> tuple[str, ...]:
        """Of these sources those that are known not to be current."""
        kept = self._kept.get(tenant)
        return () if kept is None else tuple(sorted(kept.in_doubt.intersection(sources)))

    def forget(self, tenant: str) -> None:
        """Something has changed: read again at the next occasion."""
        kept = self._kept.get(tenant)
        if kept is not None:
            self._kept[tenant] = _Kept(kept.in_doubt, self._clock() - self._max_age_s)

    async def settle(self) -> None:
        """Wait for what is being read; for tests."""
        await asyncio.gather(*self._reading.values(), return_exceptions=True)

    async def close(self) -> None:
        reading = list(self._reading.values())
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)

    async def _refresh(self, tenant: str) -> None:
        try:
            standings = await self._read(tenant)
            in_doubt = frozenset(one.source for one in standings if one.standing in _IN_DOUBT)
            self._kept[tenant] = _Kept(in_doubt, self._clock())
        except MantaError as exc:
            logger.warning("how current the sources are is not known: %s", exc)
            kept = self._kept.get(tenant)
            self._kept[tenant] = _Kept(kept.in_doubt if kept else frozenset(), self._clock())
        finally:
            self._reading.pop(tenant, None)
