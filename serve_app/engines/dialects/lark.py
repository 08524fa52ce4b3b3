"""Pieces of grammars in llguidance's kind of Lark.

Syntax: https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md
"""

from __future__ import annotations

import json
import re

from serve_app.engines.dialects.base import Markers
from serve_app.messages import JsonObject

ANY = "(?s:.*)"  # a regular expression: any text
# A space, or a line break and indentation: a model that falls into blanks would fill its answer with them.
_BLANKS = r"\x20|\x0A\x20{0,24}|\x0A\x09{0,6}"


def json_rule(name: str, schema: JsonObject) -> str:
    """A rule for JSON of that schema."""
    options = {"whitespace_pattern": _BLANKS}
    return f"{name}: %json {json.dumps(schema | {'x-guidance': options})}"


def text_until(name: str, marker: str, markers: Markers, guard: str = "") -> str:
    """A rule for free text up to the first such marker, which is a part of it.

    Args:
        name: of the rule.
        marker: as text.
        markers: of the vocabulary.
        guard: what the text must not be.
    """
    token = markers.control_tokens.get(marker)
    terminal = name.upper()
    if token is not None:
        return f"{terminal}: /{ANY}/{guard}\n{name}: {terminal} <[{token}]>"
    return f"{terminal}: /{ANY}{escaped(marker)}/{guard}\n{name}[lazy]: {terminal}"


def marker_rule(name: str, marker: str, markers: Markers) -> str:
    """A rule for the marker, with a few blanks before it."""
    token = markers.control_tokens.get(marker)
    if token is not None:
        return f"{name}: <[{token}]> | BLANKS <[{token}]>"
    return f"{name.upper()}: /[ \\n]{{0,4}}{escaped(marker)}/\n{name}: {name.upper()}"


def escaped(text: str) -> str:
    """Text inside of `/.../`."""
    return re.escape(text).replace("/", r"\/")
