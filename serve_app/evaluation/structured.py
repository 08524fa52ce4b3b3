"""Ask a chat model for JSON of a given schema: constrained where the engine can, checked always."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from serve_app.engines.base import ModelClient
from serve_app.errors import EngineFailed
from serve_app.messages import Endpoint, JsonObject, RequestContext

_MAX_TOKENS = 1024


@dataclass(frozen=True, slots=True)
class Reply:
    """A model's JSON object and what it cost."""

    value: JsonObject
    usage: JsonObject | None  # None: the model did not tell


async def ask(
    client: ModelClient,
    model: str,
    messages: Sequence[JsonObject],
    schema: JsonObject,
    context: RequestContext,
) -> Reply:
    """The model's answer as a JSON object, at temperature 0.

    The schema goes along as OpenAI's `response_format`; what comes back is still only checked to be an
    object, and callers check the fields that they read.

    Raises:
        EngineFailed: the answer is no chat completion, or its text no JSON object; besides, as `respond`.
    """
    body = {
        "model": model,
        "messages": list(messages),
        "temperature": 0.0,
        "max_tokens": _MAX_TOKENS,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "reply", "strict": True, "schema": schema},
        },
    }
    raw = await client.respond(Endpoint.CHAT, body, context)
    try:
        document = json.loads(raw)
        value = json.loads(document["choices"][0]["message"]["content"])
        usage = document.get("usage")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as exc:
        raise EngineFailed(f"{model} answered with something that is no JSON: {raw[:200]!r}") from exc
    if not isinstance(value, dict):
        raise EngineFailed(f"{model} answered with JSON that is no object: {str(value)[:200]}")
    return Reply(value, usage if isinstance(usage, dict) else None)
