"""What an MCP server offers, and the hashes to pin it by: for a person to look at before they agree."""

from __future__ import annotations

import asyncio

import mcp_types as types
from mcp.client import Client

from serve_app.errors import DeadlineExceeded
from serve_app.grounding.untrusted import one_line
from serve_app.tool_server.pins import tool_hash
from serve_app.websearch.client import FAULTS, fault_of, over_http

_SECONDS = 15.0
_MAX_DESCRIPTION_CHARS = 1000


async def describe(url: str, token: str | None) -> list[str]:
    """Lines of YAML: each tool with its hash, and what it says of itself as a comment.

    Raises:
        Unavailable, EngineFailed, DeadlineExceeded: the server cannot be asked.
    """
    connect, close = over_http(url, token, connect_timeout_s=_SECONDS, max_connections=1)
    try:
        async with asyncio.timeout(_SECONDS):
            async with Client(connect(), cache=None) as client:
                tools = (await client.list_tools()).tools
    except TimeoutError as exc:
        raise DeadlineExceeded(f"{url} did not answer in {_SECONDS:g} s") from exc
    except FAULTS as exc:
        raise fault_of(exc, url) from exc
    finally:
        await close()
    return ["pins:", *(line for tool in tools for line in _lines(tool))]


def _lines(tool: types.Tool) -> list[str]:
    said = one_line(tool.description or "", _MAX_DESCRIPTION_CHARS)
    return [f"  # {said}", f"  {one_line(tool.name, 100)}: {tool_hash(tool)}"]
