"""Pinned tools: a tool that is not described as it was when somebody looked at it is not called.

What a server says of a tool goes into models' prompts, and what it takes and gives is relied on; both may change on
the other side at any time. A hash of all of it is what one agrees to.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping

import mcp_types as types

from serve_app.errors import Unavailable

_PINNED = {"name", "title", "description", "input_schema", "output_schema", "annotations"}


def tool_hash(tool: types.Tool) -> str:
    """SHA-256, in hex, of the tool's name, descriptions, schemas and hints, in an order of its own."""
    told = tool.model_dump(mode="json", include=_PINNED, by_alias=True, exclude_none=True)
    return hashlib.sha256(
        json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    ).hexdigest()


def require_pinned(name: str, tools: Iterable[types.Tool], pins: Mapping[str, str], who: str) -> None:
    """Return if the tool is there and as pinned.

    Raises:
        Unavailable: it is not; it has to be looked at, and pinned again.
    """
    found = [tool for tool in tools if tool.name == name]
    if len(found) != 1:
        raise Unavailable(f"{who} offers {len(found)} tools called {name}")
    if tool_hash(found[0]) != pins.get(name):
        raise Unavailable(
            f"the tool {name} of {who} is not as pinned; look at it with `manta websearch pins`, and pin it again"
        )
