"""What keeps requests together on one member."""

from __future__ import annotations

from typing import Any, Literal

from serve_app.front.base import Ask
from serve_app.messages import JsonObject

SESSION = "x-manta-session"


def affinity_key(ask: Ask, affinity: Literal["none", "session", "prefix"], prefix_chars: int) -> str | None:
    """The key; None: nothing keeps this request anywhere. Keys of two tenants are never the same."""
    if affinity == "none":
        return None
    if affinity == "session":
        session = ask.headers.get(SESSION) or ask.body.get("user")
        return f"{ask.context.tenant}\x1f{session}" if isinstance(session, str) and session else None
    prefix = _prefix(ask.body, prefix_chars)
    return f"{ask.context.tenant}\x1f{prefix}" if prefix else None


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
