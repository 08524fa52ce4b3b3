"""A call as one JSON object with a name and arguments: what Hermes, Qwen and Llama have in common.

The rules and the reader belong together: what the grammar lets through, `read_call` reads.
"""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass

from serve_app.engines.base import ToolUse
from serve_app.engines.dialects.lark import json_rule
from serve_app.openai_api.parts import ToolCall

_HEAD = re.compile(r'\s*\{\s*"name"\s*:\s*"([^"\\]*)"\s*,\s*"(?:arguments|parameters)"\s*:\s*')
_END = re.compile(r"\s*\}")
_decoder = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class WrittenCall:
    """A call as it was found."""

    call: ToolCall
    end: int  # where the text goes on after it


def call_head() -> str:
    """A regular expression: a call up to its name, as models are trained to write it and with some room."""
    return r'\{[ \n]{0,4}"name" ?: ?"'


def call_rules(use: ToolUse, key: str) -> str:
    """Rules of a call without `call_head`: `call_rest`.

    Args:
        use: whose tools they are.
        key: of the arguments.
    """
    names = " | ".join(f"call_{index}" for index in range(len(use.tools)))
    rules = [
        f"call_rest: ({names}) CALL_END",
        f'CALL_ARGUMENTS: /" ?,[ \\n]{{0,4}}"{key}" ?:[ \\n]{{0,4}}/',
        r"CALL_END: /[ \n]{0,4}\}/",
    ]
    for index, tool in enumerate(use.tools):
        rules.append(f"call_{index}: {json.dumps(tool.name)} CALL_ARGUMENTS arguments_{index}")
        rules.append(json_rule(f"arguments_{index}", tool.parameters))
    return "\n".join(rules)


def read_call(text: str, names: frozenset[str]) -> WrittenCall | None:
    """The call at the beginning of a text; None: there is none, or it is not complete."""
    head = _HEAD.match(text)
    if head is None or head[1] not in names:
        return None
    try:
        arguments, end = _decoder.raw_decode(text, head.end())
    except (ValueError, RecursionError):
        return None
    tail = _END.match(text, end)
    if not isinstance(arguments, dict) or tail is None:
        return None
    # The text itself and not what was read of it: numbers would change.
    call = ToolCall(f"call_{uuid.uuid4().hex[:24]}", head[1], text[head.end() : end])
    return WrittenCall(call, tail.end())
