"""LiteLLM's proxy as an ASGI application, with what gets lost or forged on its way put right.

Runs in LiteLLM's environment (`uvicorn cluster.litellm.proxy:app`), which has nothing of ours but this and `headers`.

- A client cannot send the headers by which a gateway proves itself and names a tenant: they are taken off.
- The trace context travels as `x-manta-traceparent`, for LiteLLM passes on `x-` headers only.
- What LiteLLM asks carries the gateway's secret and the tenant of the key: its `metadata.tenant`, else its team's
  alias or id, else the application's default.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from litellm.integrations.custom_logger import CustomLogger  # type: ignore[import-not-found,unused-ignore]
from litellm.proxy.proxy_server import app as _litellm  # type: ignore[import-not-found,unused-ignore]

from cluster.litellm.headers import carried, with_own_headers

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Door:
    """Around LiteLLM's own application."""

    def __init__(self, inner: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["headers"] = carried(scope["headers"])
        await self._inner(scope, receive, send)


class Hooks(CustomLogger):  # type: ignore[misc,unused-ignore]
    """What LiteLLM asks the application says who asks."""

    def __init__(self, secret: str | None, models: frozenset[str]) -> None:
        """`models`: the application's; other providers never see its secret."""
        super().__init__()
        self._secret = secret
        self._models = models

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: dict[str, Any], call_type: str
    ) -> dict[str, Any]:
        """The request's data with our headers, whatever its body said of them."""
        is_ours = data.get("model") in self._models
        return with_own_headers(data, self._secret if is_ours else None, user_api_key_dict, call_type)


_models = os.environ.get("MANTA_GATEWAY_MODELS", "")
hooks = Hooks(os.environ.get("MANTA_GATEWAY_SECRET"), frozenset(_models.split(",")))
app = Door(_litellm)
