"""Adapters as the ingress serves them: found by name, loaded and unloaded for all replicas.

Knows nothing of Ray: models are handed in.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from typing import Protocol

from serve_app.adapters.base import Adapter
from serve_app.adapters.book import AdapterBook
from serve_app.engines.base import ModelClient
from serve_app.errors import BadRequest, NotFound
from serve_app.messages import RequestContext

# Adapters whose way through the graph is kept; making one anew costs microseconds.
_MAX_CLIENTS = 256


class AdaptedModel(ModelClient, Protocol):
    """A model that takes adapters."""

    def with_adapter(self, name: str) -> ModelClient: ...

    async def load_adapter(self, adapter: Adapter, context: RequestContext) -> None: ...


class Adapters:
    """Of all models that take them.

    Args:
        models: name -> model that takes adapters.
        taken: every name that is served without one.
        book: what is known of the adapters.
    """

    def __init__(self, models: Mapping[str, AdaptedModel], taken: frozenset[str], book: AdapterBook) -> None:
        self._models = models
        self._taken = taken
        self._book = book
        self._clients: OrderedDict[tuple[str, str], ModelClient] = OrderedDict()
        self._changing = asyncio.Lock()

    def base_of(self, name: str) -> str | None:
        """The model that an adapter belongs to, by what was read last."""
        known = self._book.known(name)
        return None if known is None else known.model

    async def find(self, name: str) -> Adapter | None:
        return await self._book.find(name)

    async def all(self) -> list[Adapter]:
        return [adapter for adapter in (await self._book.all()).values() if adapter.model in self._models]

    def client(self, adapter: Adapter) -> ModelClient:
        """The model, for requests that name the adapter."""
        key = adapter.model, adapter.name
        client = self._clients.get(key)
        if client is None:
            client = self._clients[key] = self._models[adapter.model].with_adapter(adapter.name)
            if len(self._clients) > _MAX_CLIENTS:
                self._clients.popitem(last=False)
        return client

    async def load(
        self, name: str, path: str, model: str | None, context: RequestContext, *, is_new_version: bool
    ) -> None:
        """Load an adapter into one replica, and let all others know of it.

        Raises:
            BadRequest: it does not fit, its name is taken, or nobody could say for which model it is.
        """
        adapter = Adapter(name, self._model(model), path)
        async with self._changing:
            found = await self._book.find(name)
            if name in self._taken or self._book.is_configured(name):
                raise BadRequest(f"the name {name} is taken", "lora_name")
            if found is not None and not is_new_version:
                raise BadRequest(
                    f"the adapter {name} has already been loaded; load_inplace replaces it", "lora_name"
                )
            await self._models[adapter.model].load_adapter(adapter, context)
            await self._book.put(adapter)

    async def unload(self, name: str) -> None:
        """Raises NotFound, or BadRequest: it stands in the configuration."""
        if self._book.is_configured(name):
            raise BadRequest(f"the adapter {name} stands in the configuration, and stays", "lora_name")
        if not await self._book.remove(name):
            raise NotFound(f"there is no adapter {name!r}")

    def _model(self, named: str | None) -> str:
        if named is None and len(self._models) == 1:
            return next(iter(self._models))
        if named not in self._models:
            raise BadRequest(f"model must be one of those with adapters: {', '.join(self._models)}", "model")
        assert named is not None
        return named
