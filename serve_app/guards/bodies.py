"""Where the texts of a request stand, and the same request with other texts. Pure.

Every string of a body is a text that a model may read, but for those that are known to be none: so a field that an
engine learns tomorrow is looked at, too. Arguments of calls are JSON inside a string: they are looked at value by
value, and stay JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from operator import is_
from typing import Any

from serve_app.messages import JsonObject

Path = tuple[str | int, ...]

# At the top of a body: who asks, and of whom. No model reads them.
_NOT_READ = frozenset(
    {"model", "agent", "session", "user", "metadata", "service_tier", "safety_identifier", "prompt_cache_key"}
)
# At the top of a body: written by who made the application, and not by those who use it.
_APPLICATIONS = frozenset({"tools", "functions", "system", "instructions", "response_format"})
# Pictures and sounds, in base64 or by their addresses: what is in them is not looked at.
_MEDIA = frozenset({"image_url", "video_url", "audio_url", "input_audio", "image", "audio", "file"})
_NAMES = frozenset({"role", "type", "id", "tool_call_id", "call_id"})
_NAME = re.compile(r"[A-Za-z0-9_.:-]{0,64}")
# Fields that hold tokens where others hold text, and what they hold.
_TOKEN_FIELDS = ("prompt", "input", "prompt_token_ids", "prompt_embeds")
ARGUMENTS = "arguments"  # of a call: JSON in a string
_JSON = "\x00json"  # in a path: from here on inside the JSON that a string holds
_MAX_DEPTH = 50  # of such JSON; what is deeper is looked at as one text
# The least digits of anything that guards know by its number.
_MIN_DIGITS = 8
# What makes a secret of the value behind it; as the pattern of assigned secrets.
_SECRET_NAME = re.compile(r"(?ai:api|secret|access|client|passw|passphrase)")


@dataclass(frozen=True, slots=True)
class Text:
    """A text and where it stands.

    Args:
        role: of the message that it is in; "developer" for what the application says.
        label: what stands before it as its name, where that makes it a secret: `password: `.
    """

    path: Path
    text: str
    role: str | None = None
    label: str = ""


def texts_of(body: JsonObject) -> Iterator[Text]:
    """All texts of a request's body."""
    for name, value in body.items():
        if name == "messages" and isinstance(value, list):
            for at, message in enumerate(value):
                role = message.get("role") if isinstance(message, dict) else None
                yield from _texts(message, (name, at), role if isinstance(role, str) else None)
        elif name not in _NOT_READ:
            yield from _texts(value, (name,), "developer" if name in _APPLICATIONS else None)


def has_tokens(body: JsonObject) -> bool:
    """Whether there is something to read for a model that is no text: the numbers of tokens, or vectors."""
    return any(_is_tokens(name, body.get(name)) for name in _TOKEN_FIELDS)


def with_texts(body: JsonObject, texts: Mapping[Path, str]) -> JsonObject:
    """The same body with other texts in these places; what did not change is shared with the old one."""
    found: JsonObject = _rebuilt(body, (), texts)
    return found


def scrubbed_json(text: str, scrub: Callable[[str], str]) -> str:
    """JSON with its values scrubbed one by one; what is no JSON is scrubbed as it is."""
    changed = {}
    for one in _texts(text, (ARGUMENTS,), None):
        scrubbed = scrub(one.label + one.text).removeprefix(one.label)
        if scrubbed != one.text:
            changed[one.path] = scrubbed
    found: str = _rebuilt(text, (ARGUMENTS,), changed)
    return found


def _texts(value: Any, path: Path, role: str | None, label: str = "") -> Iterator[Text]:
    name = path[-1]
    if isinstance(value, str):
        if name == ARGUMENTS and (inner := _parsed(value)) is not None:
            yield from _texts(inner, (*path, _JSON), role)
        elif _JSON in path or not (name in _NAMES and _NAME.fullmatch(value)):
            yield Text(path, value, role, label)
    elif isinstance(value, dict):
        is_inside = _JSON in path
        for key, one in value.items():
            if is_inside or key not in _MEDIA:
                is_named = is_inside and _SECRET_NAME.search(key)
                yield from _texts(one, (*path, key), role, f"{key}: " if is_named else "")
    elif isinstance(value, list):
        for at, one in enumerate(value):
            if isinstance(one, str | dict | list) or _JSON in path:
                yield from _texts(one, (*path, at), role, label)
    elif _JSON in path and type(value) in (int, float) and abs(value) >= 10 ** (_MIN_DIGITS - 1):
        yield Text(path, f"{value:.0f}" if value == value // 1 else str(value), role, label)


def _is_tokens(name: str, value: Any) -> bool:
    if isinstance(value, list):
        return any(isinstance(one, int) or (isinstance(one, list) and bool(one)) for one in value)
    return name == "prompt_embeds" and value is not None


def _parsed(text: str) -> Any:
    """The object or list that a string holds; None: it holds none whose values are all that there is to read."""
    try:
        inner = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        return None
    level = [inner] if isinstance(inner, dict | list) else []
    is_object = bool(level)
    for _ in range(_MAX_DEPTH):
        level = [
            one
            for node in level
            for one in (node.values() if isinstance(node, dict) else node)
            if isinstance(one, dict | list)
        ]
        if not level:
            return inner if is_object else None
    return None


def _unique(pairs: list[tuple[str, Any]]) -> JsonObject:
    """Of a key that stands there twice only one value would be looked at."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands there twice")
    return found


def _rebuilt(node: Any, path: Path, texts: Mapping[Path, str]) -> Any:
    if not texts:
        return node
    if (text := texts.get(path)) is not None:
        return text
    if isinstance(node, dict):
        changed = {key: _rebuilt(one, (*path, key), texts) for key, one in node.items()}
        return node if all(node[key] is one for key, one in changed.items()) else changed
    if isinstance(node, list):
        rebuilt = [_rebuilt(one, (*path, at), texts) for at, one in enumerate(node)]
        return node if all(map(is_, node, rebuilt)) else rebuilt
    if isinstance(node, str) and path[-1] == ARGUMENTS and (inner := _parsed(node)) is not None:
        new = _rebuilt(inner, (*path, _JSON), texts)
        return node if new is inner else json.dumps(new, ensure_ascii=False)
    return node
