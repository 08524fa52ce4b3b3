"""The adapters as one replica knows them: those of the configuration, and what the store had a moment ago."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping

from configs.schema import ModelConfig, VllmModel
from serve_app.adapters.base import Adapter, AdapterStore
from serve_app.errors import Unavailable

logger = logging.getLogger("manta.adapters")

# For so long an adapter that was unloaded elsewhere is still known here.
KEEP_S = 1.0


class AdapterBook:
    """Looks adapters up, asking the store at most once in `KEEP_S`.

    Args:
        configured: that are always there; the store's come after them.
        store: those that were loaded while the application serves.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        configured: Iterable[Adapter],
        store: AdapterStore,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._configured = {adapter.name: adapter for adapter in configured}
        self._store = store
        self._clock = clock
        self._known: dict[str, Adapter] = dict(self._configured)
        self._read_s: float | None = None
        self._was_read = False  # ever
        self._reading = asyncio.Lock()

    def known(self, name: str) -> Adapter | None:
        """By what was read last; asks nobody."""
        return self._known.get(name)

    def is_configured(self, name: str) -> bool:
        return name in self._configured

    async def find(self, name: str) -> Adapter | None:
        return (await self.all()).get(name)

    async def find_told(self, name: str) -> Adapter | None:
        """As `find`, for a name that another replica knew a moment ago: one that is missing here may be newer."""
        found = await self.find(name)
        if found is None:
            self._read_s = None
            found = await self.find(name)
        return found

    async def all(self) -> Mapping[str, Adapter]:
        """Name -> adapter. What was read last holds while the store does not answer.

        Raises:
            Unavailable: it has not answered yet.
        """
        async with self._reading:
            if self._read_s is None or self._clock() - self._read_s >= KEEP_S:
                await self._read()
        return self._known

    async def _read(self) -> None:
        try:
            self._known = {**await self._store.all(), **self._configured}
        except Unavailable as exc:
            if not self._was_read:
                raise
            logger.warning("adapters are those of before: %s", exc.message)
        self._was_read = True
        self._read_s = self._clock()

    async def put(self, adapter: Adapter) -> None:
        await self._store.put(adapter)
        self._read_s = None

    async def remove(self, name: str) -> bool:
        """Whether there was one that could be removed; those of the configuration stay."""
        was_there = await self._store.remove(name)
        self._read_s = None
        return was_there


def configured_adapters(models: Iterable[ModelConfig]) -> list[Adapter]:
    """The same in every replica, so that their versions are equal."""
    return [
        Adapter(name, model.name, path, version=path)
        for model in models
        if isinstance(model, VllmModel) and model.lora is not None
        for name, path in model.lora.adapters.items()
    ]
