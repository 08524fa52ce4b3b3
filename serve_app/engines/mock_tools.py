"""Calls of tools that a mock model makes when its prompt asks for them.

`call:NAME` or `call:NAME {JSON}` anywhere in the last user message is an order. They are carried out one an answer,
in their order; when all are, or when the tool is not there, the model answers with words. So agents can be tried
and measured through the whole application without a model that understands anything.
"""

from __future__ import annotations

import json
import re

from serve_app.engines.base import GenerationRequest
from serve_app.openai_api.parts import ToolCall

_ORDER = re.compile(r"\bcall:([A-Za-z0-9_.:/-]+)[ \t]*")


def ordered_call(request: GenerationRequest) -> ToolCall | None:
    """The call to make now; None: none."""
    if request.tools is None or request.messages is None:
        return None
    names = [tool.name for tool in request.tools.tools]
    roles = [message.role for message in request.messages]
    if "user" not in roles:
        return None
    at = len(roles) - 1 - roles[::-1].index("user")
    num_made = roles[at:].count("assistant")
    orders = [one for one in _orders(request.messages[at].text()) if one[0] in names]
    if num_made < len(orders):
        name, arguments = orders[num_made]
        return ToolCall(f"call_{num_made}", name, arguments)
    return ToolCall(f"call_{num_made}", names[0], "{}") if request.tools.is_required else None


def _orders(text: str) -> list[tuple[str, str]]:
    return [(found[1], _json_at(text, found.end())) for found in _ORDER.finditer(text)]


def _json_at(text: str, start: int) -> str:
    """The JSON object that begins there; an empty one if none does."""
    if not text.startswith("{", start):
        return "{}"
    try:
        _, end = json.JSONDecoder().raw_decode(text, start)
    except ValueError:
        return "{}"
    return text[start:end]
