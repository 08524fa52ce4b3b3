"""ASGI middleware: each request is a span, and what it sets off happens inside of it.

The request goes on with the span's own `traceparent` in its headers, so that nothing behind it has to know.
"""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.ingress.edge import id_of
from serve_app.ingress.requests.context import TRACEPARENT, read_traceparent
from serve_app.telemetry.spans import Span, Tracer

# Whoever asks these asks all the time, and nobody wants to see it.
_UNTRACED = frozenset({"/healthz", "/readyz", "/metrics"})
_NAME = TRACEPARENT.encode()


class TracingEdge:
    """Around the routes and the door, inside the edge that gives a request its id."""

    def __init__(self, app: ASGIApp, *, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].removeprefix(scope.get("root_path", "")) in _UNTRACED:
            await self._app(scope, receive, send)
            return
        span = self._tracer.start(
            scope["method"],
            read_traceparent(Headers(scope=scope)),
            {"http.request.method": scope["method"], "manta.request_id": id_of(scope)},
            "server",
        )
        others = [(name, value) for name, value in scope["headers"] if name.lower() != _NAME]
        scope["headers"] = [*others, (_NAME, span.traceparent.encode())]

        async def send_seen(message: Message) -> None:
            if message["type"] == "http.response.start":
                _tell_status(span, message["status"])
            await send(message)

        try:
            await self._app(scope, receive, send_seen)
        except (asyncio.CancelledError, ClientDisconnect):
            span.set({"manta.cancelled": True})
            raise
        except BaseException as exc:
            span.fail(exc.__class__.__name__, str(exc))
            raise
        finally:
            _tell_route(span, scope)
            span.end()


def _tell_status(span: Span, status: int) -> None:
    span.set({"http.response.status_code": status})
    if status >= 500:
        span.fail(str(status), "")


def _tell_route(span: Span, scope: Scope) -> None:
    """The route's pattern and never the path: ids and names of documents are in it."""
    route = getattr(scope.get("route"), "path", None)
    if route is not None:
        span.set({"http.route": route})
        span.rename(f"{scope['method']} {route}")
