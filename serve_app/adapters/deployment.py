"""The application's adapters in Ray's own key-value store, which all of its processes share.

It lives as long as the Ray does, and with GCS fault tolerance as long as its Redis. Nothing here elects or replicates.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from ray import serve
from ray.exceptions import RayError
from ray.experimental.internal_kv import (
    _internal_kv_del,
    _internal_kv_get,
    _internal_kv_list,
    _internal_kv_put,
)

from serve_app.adapters.base import Adapter
from serve_app.errors import Unavailable


class RayAdapters:
    """An AdapterStore of the Serve application that this replica belongs to. Its calls block, so threads make them."""

    def __init__(self) -> None:
        self._namespace = f"manta-adapters-{serve.get_replica_context().app_name}"

    async def all(self) -> dict[str, Adapter]:
        found: dict[str, Adapter] = await _asked(self._all)
        return found

    async def put(self, adapter: Adapter) -> None:
        value = json.dumps(asdict(adapter)).encode()
        await _asked(_internal_kv_put, adapter.name, value, namespace=self._namespace)

    async def remove(self, name: str) -> bool:
        num_removed: int = await _asked(_internal_kv_del, name, namespace=self._namespace)
        return num_removed > 0

    def _all(self) -> dict[str, Adapter]:
        found = {}
        for name in _internal_kv_list("", namespace=self._namespace):
            value = _internal_kv_get(name, namespace=self._namespace)
            if value is not None:  # it may have been removed meanwhile
                adapter = Adapter(**json.loads(value))
                found[adapter.name] = adapter
        return found


async def _asked(call: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Raises Unavailable: the store does not answer, as while Ray's head is started anew."""
    try:
        return await asyncio.to_thread(call, *args, **options)
    except RayError as exc:
        raise Unavailable(f"Ray's store of adapters does not answer: {type(exc).__name__}") from exc
