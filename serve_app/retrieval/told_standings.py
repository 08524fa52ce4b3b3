"""How the profile's sources stand, told as a metric: what an alert, and who scales the ingestion, look at.

Every replica tells the same, for the state is where the base is. While it cannot be read nothing is told, and the
series ends: an old value would say that all is well.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress

from serve_app.errors import MantaError
from serve_app.messages import Deadline, KnowledgeStatus, Priority, RequestContext, Standing
from serve_app.telemetry.metrics import SOURCES
from serve_app.telemetry.pulse import EVERY_S, Put

logger = logging.getLogger("manta.retrieval")

_TELLINGS = 6  # of what was read, before it is read again: Ray forgets a gauge that nobody sets for 20 s
_READ_TIMEOUT_S = 10.0


class ToldStandings:
    """Tells them until it is closed.

    Args:
        status: reads how one tenant's base stands.
        sources: (tenant, name) of each source of the profile.
        put: sets a gauge.
        sleep: waits; given in tests.
    """

    def __init__(
        self,
        status: Callable[[RequestContext], Awaitable[KnowledgeStatus]],
        sources: Collection[tuple[str, str]],
        put: Put,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._status = status
        self._sources = frozenset(sources)
        self._put = put
        self._sleep = sleep
        self._task = asyncio.create_task(self._run()) if sources else None

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            values = await self._values()
            for _ in range(_TELLINGS):
                for standing, value in values.items():
                    self._put(SOURCES, value, standing=standing.value)
                await self._sleep(EVERY_S)

    async def _values(self) -> dict[Standing, int]:
        """Of each standing how many sources have it; empty: not known."""
        try:
            counts = await self._read()
        except MantaError as exc:
            logger.warning("how the sources stand is not known: %s", exc.message)
            return {}
        return {standing: counts[standing] for standing in Standing}

    async def _read(self) -> Counter[Standing]:
        found: dict[tuple[str, str], Standing] = {}
        for tenant in sorted({tenant for tenant, _ in self._sources}):
            context = RequestContext("standings", tenant, Deadline.after(_READ_TIMEOUT_S), Priority.BATCH)
            status = await self._status(context)
            found |= {(tenant, one.source): one.standing for one in status.standings}
        return Counter(found.get(source, Standing.NEVER_SYNCED) for source in self._sources)
