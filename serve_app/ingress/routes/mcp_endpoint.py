"""POST /mcp: the agents as a tool of the Model Context Protocol, by streamable HTTP, stateless.

The same door as everywhere, where a call of the tool counts as a request to its agent. Each request stands alone, so
whatever replica it reaches answers it; a client that leaves ends its run.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from mcp.server.lowlevel import Server
from starlette.types import Receive, Scope, Send

from serve_app.ingress.agents.tool import TOOL_NAME, ask_tool
from serve_app.ingress.edge import closing_of
from serve_app.ingress.requests.call import CallReader
from serve_app.ingress.routes.direct import DirectRoute
from serve_app.ingress.services import Services
from serve_app.messages import JsonObject
from serve_app.openai_api.responses import encode
from serve_app.tool_server.browsers import require_no_page
from serve_app.tool_server.exchange import exchange
from serve_app.tool_server.server import make_server

SERVER_NAME = "manta"


def router(reader: CallReader, services: Services) -> APIRouter:
    routes = APIRouter(tags=["agent"], route_class=DirectRoute)

    def counted(message: JsonObject) -> JsonObject:
        return counts_as(message, next(iter(services.agents), None))

    @routes.post("/mcp", include_in_schema=False)
    async def mcp(request: Request) -> Response:
        if not reader.knows_callers:
            require_no_page(request.headers)
        call = await reader.read(request, counted)
        server = make_server(SERVER_NAME, [ask_tool(services, call.context)])
        return McpResponse(server, encode(call.body))

    return routes


class McpResponse(Response):
    """What an MCP server answers to one message: a document, or a stream where there is progress to tell."""

    def __init__(self, server: Server[Any], message: bytes) -> None:
        super().__init__()
        self._server = server
        self._message = message

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it all.

        Raises:
            ClientDisconnect: the client left; what it had asked for was cancelled.
        """
        with closing_of(scope).running():
            await exchange(self._server, self._message, scope, receive, send)


def counts_as(message: JsonObject, default_agent: str | None) -> JsonObject:
    """The body as the door's limits count it: a question to an agent, or a request that no model reads."""
    params = message.get("params")
    if (
        message.get("method") != "tools/call"
        or not isinstance(params, dict)
        or params.get("name") != TOOL_NAME
    ):
        return {}
    arguments = params.get("arguments")
    given: JsonObject = arguments if isinstance(arguments, dict) else {}
    return {"agent": given.get("agent") or default_agent, "question": given.get("question")}
