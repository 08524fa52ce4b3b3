"""What an adapter is, and where all replicas of an application find the same ones."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Adapter:
    """A LoRA adapter of one model, under a name that clients write into `model`."""

    name: str
    model: str  # the base model's name
    path: str  # a folder that every replica of the model can read
    # Other weights under the same name are another version: replicas that have an older one load it anew.
    version: str = field(default_factory=lambda: uuid.uuid4().hex)


class AdapterStore(Protocol):
    """The adapters of one application. Each call raises Unavailable where the store does not answer."""

    async def all(self) -> dict[str, Adapter]:
        """Name -> adapter."""
        ...

    async def put(self, adapter: Adapter) -> None: ...

    async def remove(self, name: str) -> bool:
        """Whether there was one."""
        ...


class MemoryAdapters:
    """A store that one process has for itself."""

    def __init__(self) -> None:
        self._adapters: dict[str, Adapter] = {}

    async def all(self) -> dict[str, Adapter]:
        return dict(self._adapters)

    async def put(self, adapter: Adapter) -> None:
        self._adapters[adapter.name] = adapter

    async def remove(self, name: str) -> bool:
        return self._adapters.pop(name, None) is not None
