"""What keeps requests together, on one member of a group or on one replica of a model."""

from __future__ import annotations

from typing import Any, Literal

from serve_app.messages import JsonObject, RequestContext

Affinity = Literal["none", "session", "prefix"]


def affinity_key(
    body: JsonObject, context: RequestContext, affinity: Affinity, prefix_chars: int
) -> str | None:
    """The key; None: nothing keeps this request anywhere. Keys of two tenants are never the same."""
    if affinity == "none":
        return None
    if affinity == "session":
        # Of OpenAI's own two the second is the older.
        key = context.session or body.get("prompt_cache_key") or body.get("user")
    else:
        key = _prefix(body, prefix_chars)
    return f"{context.tenant}\x1f{key}" if isinstance(key, str) and key else None


def _prefix(body: JsonObject, num_chars: int) -> str:
    """The beginning of what the model reads."""
    parts: list[str] = []
    left = num_chars
    for text in prompt_texts(body):
        parts.append(text[:left])
        left -= len(text)
        if left <= 0:
            break
    return "\x1f".join(parts)


def prompt_texts(body: JsonObject) -> list[str]:
    """All texts of a prompt or of a conversation, in order. Token ids and images are none."""
    if isinstance(body.get("prompt"), str):
        return [body["prompt"]]
    if isinstance(body.get("prompt"), list):
        return [one for one in body["prompt"] if isinstance(one, str)]
    texts: list[str] = []
    for message in body.get("messages") or ():
        content: Any = message.get("content")
        if isinstance(content, str):
            texts.append(content)
        elif isinstance(content, list):
            texts += [part["text"] for part in content if isinstance(part.get("text"), str)]
    return texts
