"""Headers between LiteLLM and the application: which get through, which are ours to set. Pure, standard library only.

It runs in LiteLLM's environment.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

GATEWAY, TENANT, TRACE = "x-manta-gateway", "x-manta-tenant", "x-manta-traceparent"
OWN_HEADERS = frozenset({GATEWAY, TENANT, TRACE})
# Where a request's body can name headers that LiteLLM sends along.
_HEADER_FIELDS = ("extra_headers", "headers")
# Where it can name other models that get the same request, headers and all, when the first one fails.
_ELSEWHERE = (
    "fallbacks",
    "default_fallbacks",
    "context_window_fallbacks",
    "content_policy_fallbacks",
    "router_settings_override",
)
_NO_NAME = re.compile(r"[^A-Za-z0-9._:/-]+")


def carried(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """A request's headers without those that are ours to set, and with the trace where it gets through."""
    kept = [(name, value) for name, value in headers if name.decode("latin-1").lower() not in OWN_HEADERS]
    return kept + [(TRACE.encode(), value) for name, value in kept if name.lower() == b"traceparent"]


def with_own_headers(
    data: dict[str, Any], secret: str | None, key: Any, call_type: str = ""
) -> dict[str, Any]:
    """What LiteLLM is about to ask, with our headers, whatever its body said of them.

    Args:
        data: LiteLLM's data of a request; changed in place.
        secret: by which the gateway proves itself; None: it does not, and speaks for nobody. What carries it goes
            nowhere else: another provider would read it.
        key: LiteLLM's own idea of who asks.
        call_type: LiteLLM's name of what is asked for.
    """
    for field in _HEADER_FIELDS:
        given = data.get(field)
        if isinstance(given, dict):
            data[field] = {
                name: value
                for name, value in given.items()
                if name.lower() not in OWN_HEADERS or (field == "headers" and name.lower() == TRACE)
            }
    if secret is not None:
        for field in _ELSEWHERE:
            data.pop(field, None)
        own = {GATEWAY: secret}
        tenant = tenant_of(key)
        if tenant is not None:
            own[TENANT] = tenant
        # LiteLLM 1.106.2 passes on no `extra_headers` with what is reranked.
        field = "headers" if call_type == "rerank" else "extra_headers"
        data[field] = {**(data.get(field) or {}), **own}
    return data


def tenant_of(key: Any) -> str | None:
    """For whom a key of LiteLLM's asks; None: for nobody in particular."""
    metadata = getattr(key, "metadata", None) or {}
    named = metadata.get("tenant") or getattr(key, "team_alias", None) or getattr(key, "team_id", None)
    return _NO_NAME.sub("-", str(named)).strip("-")[:128] or None if named else None
