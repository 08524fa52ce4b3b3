"""The outermost edge: every request gets an id, and every fault an answer in OpenAI's shape."""

from __future__ import annotations

import logging
import math

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.errors import (
    BadRequest,
    EngineRefused,
    LimitReached,
    MantaError,
    Overloaded,
    Unauthenticated,
    Unavailable,
)
from serve_app.ingress.closing import Closing
from serve_app.ingress.requests.context import REQUEST_ID, request_id
from serve_app.messages import JsonObject
from serve_app.openai_api.responses import encode, error_body

logger = logging.getLogger("manta.ingress")

_ID_KEY = "manta.request_id"
_CLOSING_KEY = "manta.closing"
_SEND_KEY = "manta.send"
# nginx' status for a client that closed its request: nobody reads it, logs and metrics count it.
CLIENT_CLOSED_REQUEST = 499


def id_of(scope: Scope) -> str:
    own_id: str = scope[_ID_KEY]
    return own_id


def closing_of(scope: Scope) -> Closing:
    closing: Closing = scope[_CLOSING_KEY]
    return closing


def body_send_of(scope: Scope) -> Send:
    """The way out for what follows a response's start.

    The application's middlewares wrap `send` four times, all to see the start; a stream has dozens of messages
    after it.
    """
    send: Send = scope[_SEND_KEY]
    return send


def send_bodies_by(scope: Scope, send: Send) -> None:
    """What follows the response's start goes out by this: for a middleware that has to see it all."""
    scope[_SEND_KEY] = send


class Edge:
    """ASGI middleware around everything."""

    def __init__(self, app: ASGIApp, *, echoes_id: bool, closing: Closing) -> None:
        self._app = app
        self._closing = closing
        self._echoes_id = echoes_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        own_id = scope[_ID_KEY] = request_id(Headers(scope=scope))
        scope[_CLOSING_KEY] = self._closing
        scope[_SEND_KEY] = send
        own_headers = [(REQUEST_ID.encode(), own_id.encode())] if self._echoes_id else []
        is_started = False

        async def send_with_id(message: Message) -> None:
            nonlocal is_started
            if message["type"] == "http.response.start":
                is_started = True
                message["headers"] = [*message.get("headers", ()), *own_headers]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except ClientDisconnect:
            if not is_started:
                await Response(status_code=CLIENT_CLOSED_REQUEST)(scope, receive, send_with_id)
        except Exception:
            logger.exception("request %s: %s %s failed", own_id, scope["method"], scope["path"])
            if is_started:
                raise  # the server cuts the connection: better than an answer that looks whole
            await _document(500, internal_error(own_id))(scope, receive, send_with_id)


def install(app: FastAPI, *, echoes_id: bool, closing: Closing) -> None:
    """Put the edge around the application and give its faults OpenAI's shape."""
    app.add_middleware(Edge, echoes_id=echoes_id, closing=closing)
    app.add_exception_handler(MantaError, _on_manta_error)
    app.add_exception_handler(RequestValidationError, _on_bad_parameter)
    app.add_exception_handler(HTTPException, _on_http_exception)


def internal_error(own_id: str) -> JsonObject:
    """The body for a fault that we did not foresee: the log has the rest under this id."""
    return error_body(MantaError(f"an internal error; the server's log has it as request {own_id}"))


def log_failure(error: MantaError, own_id: str) -> None:
    """One line for the operator about a fault that is not the client's."""
    if error.status >= 500:
        logger.warning("request %s: %s: %s", own_id, error.__class__.__name__, error.message)


def error_response(exc: MantaError, own_id: str) -> Response:
    """The answer that tells an error."""
    log_failure(exc, own_id)
    if isinstance(exc, EngineRefused) and exc.document:
        return Response(exc.document, exc.status, media_type="application/json")
    response = _document(exc.status, error_body(exc))
    if isinstance(exc, Overloaded | LimitReached | Unavailable):
        response.headers["retry-after"] = str(max(1, math.ceil(exc.retry_after_s)))
    elif isinstance(exc, Unauthenticated):
        response.headers["www-authenticate"] = "Bearer"
    return response


async def _on_manta_error(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, MantaError)
    return error_response(exc, id_of(request.scope))


async def _on_bad_parameter(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, RequestValidationError)
    first = exc.errors()[0]
    name = ".".join(str(part) for part in first["loc"][1:])  # without "query" or "path"
    return _document(400, error_body(BadRequest(f"{name}: {first['msg']}", name)))


async def _on_http_exception(request: Request, exc: Exception) -> Response:
    """What the router itself refuses: unknown paths and methods."""
    assert isinstance(exc, HTTPException)
    messages = {
        404: f"there is no {request.url.path}; / says what there is",
        405: f"{request.url.path} does not take {request.method}",
    }
    error = {"message": messages.get(exc.status_code, exc.detail), "type": "invalid_request_error"}
    codes = {404: "not_found", 405: "method_not_allowed"}
    response = _document(
        exc.status_code, {"error": {**error, "param": None, "code": codes.get(exc.status_code)}}
    )
    response.headers.update(exc.headers or {})
    return response


def _document(status: int, body: JsonObject) -> Response:
    return Response(encode(body), status, media_type="application/json")
