"""Llama 3: an answer is text or one call, a JSON object with name and parameters, perhaps after <|python_tag|>.

Its template refuses conversations with several calls in a turn, so there is never more than one.
Source: the chat templates of meta-llama/Llama-3.1-8B-Instruct and Llama-3.2-3B-Instruct.
"""

from __future__ import annotations

import re

from serve_app.engines.base import ToolUse
from serve_app.engines.dialects.base import Markers, Piece
from serve_app.engines.dialects.calls import call_head, call_rules, read_call
from serve_app.engines.dialects.lark import ANY, marker_rule
from serve_app.errors import BadRequest
from serve_app.messages import JsonObject

TAG = "<|python_tag|>"
_OPENING = '{"name":"'  # without blanks
_BLANKS = re.compile(r"\s+")
_LONGEST_OPENING = 64  # characters, blanks included; what is longer is text


class Llama3:
    """A Dialect."""

    name = "llama3"
    markers: tuple[str, ...] = (TAG,)

    def rules(self, use: ToolUse, schema: JsonObject | None, markers: Markers, guard: str) -> str:
        if schema is not None and not use.is_required:
            raise BadRequest(
                "this model's calls are JSON as its answer would be: with tools that may be called or not, "
                "response_format cannot be asked for",
                "response_format",
            )
        rules = [
            f"CALL_HEAD: /[ \\n]{{0,4}}{call_head()}/",
            # Lazy: what begins as a call is one, and no text.
            "call_head[lazy]: CALL_HEAD",
            "call: call_head call_rest | tag call_head call_rest",
            marker_rule("tag", TAG, markers),
            call_rules(use, "parameters"),
        ]
        if use.is_required:
            return "\n".join(["answer: call", *rules])
        return "\n".join(["answer: call | text", f"TEXT: /{ANY}/{guard}", "text: TEXT", *rules])

    def reader(self, use: ToolUse) -> Llama3Reader:
        return Llama3Reader(frozenset(tool.name for tool in use.tools))


class Llama3Reader:
    """A Reader."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names
        self._held = ""
        self._is_text = False

    def feed(self, text: str) -> Piece:
        if self._is_text:
            return Piece(text)
        self._held += text
        if may_be_call(self._held):
            return Piece()
        self._is_text = True
        held, self._held = self._held, ""
        return Piece(held)

    def rest(self) -> Piece:
        held, self._held = self._held, ""
        body = held.lstrip().removeprefix(TAG)
        found = read_call(body, self._names)
        return Piece(tool_calls=(found.call,)) if found and not body[found.end :].strip() else Piece(held)


def may_be_call(text: str) -> bool:
    """Whether an answer that begins like this is a call, or can become one."""
    start = text.lstrip()
    if start.startswith(TAG) or TAG.startswith(start):
        return True
    opening = _BLANKS.sub("", start[:_LONGEST_OPENING])
    return opening.startswith(_OPENING) or (_OPENING.startswith(opening) and len(text) <= _LONGEST_OPENING)
