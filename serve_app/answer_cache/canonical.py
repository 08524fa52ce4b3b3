"""Which requests are the same, and which may have the same answer if their questions mean the same.

A key is a hash of everything that an answer depends on. The tenant is always in it, first, and in a form that no
other field can imitate.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from serve_app.front.base import Ask
from serve_app.messages import JsonObject

# Grows when entries of earlier versions must not be found any more.
_VERSION = "1"
# They say who asks or what it is for, and change no answer.
_NO_MATTER = frozenset(
    {"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "session"}
)
# They choose among models behind the same name.
_ROUTING_HEADERS = ("x-model-id",)


@dataclass(frozen=True, slots=True)
class Question:
    """The part of a request that a semantic cache compares by meaning, and the scope of the rest."""

    text: str
    scope: str


def key_of(ask: Ask, generation: str = "") -> str:
    """Requests with the same key have the same answer.

    Args:
        generation: of what else the answer depends on: an agent's knowledge base.
    """
    return _digest("key", ask, _without(ask.body), generation)


def question_of(ask: Ask, max_chars: int, generation: str = "") -> Question | None:
    """The last question of a conversation; None: it does not end with one, or with one that is too long."""
    body = _without(ask.body)
    if isinstance(body.get("question"), str):
        text, body = body["question"], body | {"question": None}
    else:
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            return None
        found = _text_of_user(messages[-1])
        if found is None:
            return None
        text = found
        body = body | {"messages": [*messages[:-1], {**messages[-1], "content": None}]}
    if not text.strip() or len(text) > max_chars:
        return None
    return Question(text, _digest("scope", ask, body, generation))


def is_deterministic(body: JsonObject) -> bool:
    """Whether the request asks for the same answer each time."""
    return body.get("temperature") == 0 or body.get("seed") is not None


def _text_of_user(message: Any) -> str | None:
    if not isinstance(message, dict) or message.get("role") != "user":
        return None
    content = message.get("content")
    if isinstance(content, list) and len(content) == 1 and content[0].get("type") == "text":
        content = content[0].get("text")
    return content if isinstance(content, str) else None


def _without(body: JsonObject) -> JsonObject:
    return {name: value for name, value in body.items() if name not in _NO_MATTER}


def _digest(kind: str, ask: Ask, body: JsonObject, generation: str) -> str:
    named = [ask.headers.get(name) for name in _ROUTING_HEADERS]
    # A list of JSON: no field can end early and look like the next one.
    whole = [_VERSION, kind, ask.context.tenant, ask.kind, ask.name, generation, named, _plain(body)]
    text = json.dumps(whole, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _plain(value: Any) -> Any:
    """Without what makes no difference: fields that are null, and 1.0 for 1."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items() if one is not None}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
