"""The web search's MCP server over HTTP, for a process of its own: POST /mcp, GET /healthz."""

from __future__ import annotations

import hmac
from typing import Any

from mcp.server.lowlevel import Server
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from serve_app.errors import BodyTooLarge, MantaError, Unauthenticated
from serve_app.identity.exposure import is_loopback
from serve_app.openai_api.responses import error_body
from serve_app.tool_server.browsers import require_no_page
from serve_app.tool_server.exchange import exchange

_MAX_BODY_BYTES = 256 * 1024
_BEARER = "bearer "


def web_search_app(server: Server[Any], token: str | None) -> Starlette:
    """The ASGI application.

    Args:
        token: what callers show as bearer token; None: nobody is asked, for loopback only.
    """

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    return Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/mcp", _Endpoint(server, token), methods=["POST"]),
        ]
    )


def may_listen(host: str, token: str | None) -> bool:
    """Whether a server may listen there: beyond loopback only if it asks who calls."""
    return token is not None or is_loopback(host)


class _Endpoint:
    def __init__(self, server: Server[Any], token: str | None) -> None:
        self._server = server
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            self._admit(request.headers)
            await exchange(self._server, await _read(request), scope, receive, send)
        except MantaError as exc:
            response = JSONResponse(error_body(exc), exc.status)
            if isinstance(exc, Unauthenticated):
                response.headers["www-authenticate"] = "Bearer"
            await response(scope, receive, send)
        except ClientDisconnect:
            return

    def _admit(self, headers: Headers) -> None:
        if self._token is None:
            require_no_page(headers)
            return
        shown = headers.get("authorization", "")
        is_right = hmac.compare_digest(shown[len(_BEARER) :].encode(), self._token.encode())
        if not shown.lower().startswith(_BEARER) or not is_right:
            raise Unauthenticated("this server wants its token in the header authorization: Bearer TOKEN")


async def _read(request: Request) -> bytes:
    parts: list[bytes] = []
    num_bytes = 0
    async for part in request.stream():
        num_bytes += len(part)
        if num_bytes > _MAX_BODY_BYTES:
            raise BodyTooLarge(f"a body has at most {_MAX_BODY_BYTES} bytes here")
        parts.append(part)
    return b"".join(parts)
