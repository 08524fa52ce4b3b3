"""One exchange with an MCP client over streamable HTTP, stateless, inside the task that serves the request.

The library's session manager starts the work in a task group of its own. One manager an exchange keeps it below the
request: whatever ends the request, a client that leaves above all, ends the work, also for clients of
protocol versions in which leaving means nothing.
"""

from __future__ import annotations

import asyncio
from typing import Any

from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.types import Message, Receive, Scope, Send

from serve_app.ingress.requests.connection import while_connected


async def exchange(server: Server[Any], body: bytes, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one POST whose body was read.

    Raises:
        ClientDisconnect: the client left; the work was cancelled.
    """
    await while_connected(receive, _exchange(server, body, scope, send))


# The body is here already, and was bounded where it was read. The library would compare its length with what the
# client had announced for its own spelling of it.
_ANY_SIZE = 2**62


async def _exchange(server: Server[Any], body: bytes, scope: Scope, send: Send) -> None:
    # A stream where there is progress to tell, a document where there is none: the library decides by what happens.
    manager = StreamableHTTPSessionManager(server, stateless=True, max_request_body_size=_ANY_SIZE)
    async with manager.run():
        await manager.handle_request(scope, _replayed(body), send)


def _replayed(body: bytes) -> Receive:
    is_given = False

    async def receive() -> Message:
        nonlocal is_given
        if is_given:
            await asyncio.Event().wait()  # whether the client is there is watched outside
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive
