"""All keys in memory, as they were a moment ago: checking one asks nobody, so that neither a store that is gone
nor ten thousand unknown keys a second cost more than a look into a dictionary.

A replica reads what changed every `poll_s`, so a revoked key is refused everywhere after that. While the store is
gone the ring serves what it has, for a bounded time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from configs.schema import KeysConfig
from serve_app.errors import Unauthenticated, Unavailable
from serve_app.identity.base import KeyRecord, KeyStore, Principal
from serve_app.identity.keys import check_key, parse_key

logger = logging.getLogger("manta.identity")

# About 1 KB a key. `manta keys create` refuses to make more; beyond it a replica knows the first so many.
MAX_KEYS = 100_000


class KeyRing:
    """The keys of one replica.

    Args:
        clock: monotonic seconds.
        wall_clock: Unix seconds, for expiry.
    """

    def __init__(
        self,
        store: KeyStore,
        config: KeysConfig,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._config = config
        self._clock = clock
        self._wall_clock = wall_clock
        self._records: dict[str, KeyRecord] = {}
        self._generation = 0
        self._read_at_s: float | None = None  # when the store last answered
        self._first_read = asyncio.Lock()

    async def principal(self, given: str) -> Principal:
        """Whose key it is.

        Raises:
            Unauthenticated: nobody's, or nobody's any more.
            Unavailable: the keys were never read, or too long ago.
        """
        parsed = parse_key(given)
        if parsed is None:
            raise Unauthenticated("this API key is not valid")
        if self._read_at_s is None:
            await self._read_first()
        assert self._read_at_s is not None
        if self._clock() - self._read_at_s > self._config.max_stale_s:
            raise Unavailable("the store of the API keys has not answered for too long")
        key_id, secret = parsed
        return check_key(secret, self._records.get(key_id), self._wall_clock())

    async def refresh(self) -> None:
        """Read what changed.

        Raises:
            Unavailable: the store cannot be reached; what is known stays.
        """
        began_s = self._clock()
        found = await self._store.changes(self._generation)
        if found.generation < self._generation:
            self._records.clear()  # another store stands there now
        for record in found.records:
            if record.id in self._records or len(self._records) < MAX_KEYS:
                self._records[record.id] = record
            else:
                logger.error("there are more than %d API keys: %s is not known here", MAX_KEYS, record.id)
        self._generation = found.generation
        self._read_at_s = began_s

    async def keep_fresh(self) -> None:
        """Until it is cancelled."""
        was_gone = False
        while True:
            try:
                await self.refresh()
            except Unavailable as exc:
                if not was_gone:
                    logger.warning("API keys are not refreshed: %s", exc.message)
                was_gone = True
            else:
                was_gone = False
            await asyncio.sleep(self._config.poll_s)

    async def _read_first(self) -> None:
        async with self._first_read:  # one of the requests that wait asks
            if self._read_at_s is None:
                await self.refresh()
