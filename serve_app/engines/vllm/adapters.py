"""The adapters that one vLLM has: loaded when they are first asked for, the one used longest ago makes room."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection, Coroutine
from typing import Any

from serve_app.adapters.base import Adapter

Load = Callable[[Adapter], Coroutine[Any, Any, None]]
Unload = Callable[[str], Coroutine[Any, Any, None]]
Report = Callable[[Collection[str]], Coroutine[Any, Any, None]]


async def tell_nobody(names: Collection[str]) -> None:
    """For an engine that no router chooses."""


class LoadedAdapters:
    """What is loaded. One at a time is loaded or unloaded; requests for those that are loaded do not wait.

    Args:
        load: into vLLM, in the place of another of its name.
        unload: out of vLLM, by name. Requests under way keep it.
        max_adapters: that are loaded at once.
        report: is told what is loaded whenever that has changed.
    """

    def __init__(self, load: Load, unload: Unload, max_adapters: int, report: Report = tell_nobody) -> None:
        self._load = load
        self._unload = unload
        self._max_adapters = max_adapters
        self._report = report
        self._versions: OrderedDict[str, str] = OrderedDict()  # name -> version, used longest ago first
        self._changing = asyncio.Lock()

    @property
    def names(self) -> list[str]:
        return list(self._versions)

    async def ensure(self, adapter: Adapter) -> None:
        """Return once that version of it is loaded. Raises what `load` raises."""
        if self._has(adapter):
            self._versions.move_to_end(adapter.name)
            return
        async with self._changing:
            if self._has(adapter):
                return
            if adapter.name not in self._versions and len(self._versions) >= self._max_adapters:
                await self._drop(next(iter(self._versions)))
            # Should loading fail or be cancelled, nobody knows what vLLM has: the next request loads it anew.
            self._versions.pop(adapter.name, None)
            try:
                await self._load(adapter)
                self._versions[adapter.name] = adapter.version
            finally:
                await self._report(self.names)

    async def retire(self, there_are: Collection[str]) -> None:
        """Unload what there is no longer."""
        gone = [name for name in self._versions if name not in there_are]
        if not gone:
            return
        async with self._changing:
            for name in gone:
                if name in self._versions:
                    await self._drop(name)
        await self._report(self.names)

    def _has(self, adapter: Adapter) -> bool:
        return self._versions.get(adapter.name) == adapter.version

    async def _drop(self, name: str) -> None:
        del self._versions[name]
        await self._unload(name)
