"""Web search by an MCP server, in another process or in this one.

The server keeps nothing between requests, so a search opens a session and ends it, in the task that searches:
cancelling the search cancels everything below it, a server that comes back is simply asked again, and no task has
to look after anything. What lives on is the pool of connections, and what is known of the server's protocol.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import httpx2
import mcp_types as types
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from serve_app.breaker import Breaker
from serve_app.errors import DeadlineExceeded, EngineFailed, MantaError, Unavailable
from serve_app.grounding.untrusted import one_line
from serve_app.messages import RequestContext
from serve_app.tool_server.faults import error_of
from serve_app.tool_server.pins import require_pinned
from serve_app.websearch.base import WebQuery, WebResult
from serve_app.websearch.tool import TOOL_NAME, SearchParams, SearchResults

_CLIENT = types.Implementation(name="manta", version="1")
_MAX_MESSAGE_CHARS = 200
# Of the time that is left, what the server gets: its own account of a time-out is to arrive in time.
_SERVER_SHARE = 0.9
# A caller that waits no longer than this learns nothing about the server when it gives up.
_FAIR_WAIT_S = 1.0

# What a session may raise, besides time-outs.
FAULTS = (ExceptionGroup, MCPError, httpx2.HTTPError, RuntimeError, ValidationError)

# It logs a traceback, with what it read in it, for each answer that is no MCP; the error that it raises says it too.
logging.getLogger("mcp.client.streamable_http").setLevel(logging.CRITICAL)


class McpWeb:
    """A WebSearch that asks an MCP server.

    Args:
        connect: what the library's client connects to, anew for each search.
        name: whom errors name.
        pins: tool -> hash.
        breaker: stops asking a server that fails.
        on_close: gives up what `connect` uses.
    """

    def __init__(
        self,
        connect: Callable[[], Any],
        name: str,
        pins: Mapping[str, str],
        breaker: Breaker,
        on_close: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._connect = connect
        self._name = name
        self._pins = pins
        self._breaker = breaker
        self._on_close = on_close
        self._known: types.DiscoverResult | None = None

    async def search(self, query: WebQuery, context: RequestContext) -> tuple[WebResult, ...]:
        context.deadline.check("web search")
        self._breaker.check()
        seconds = context.deadline.remaining_s()
        try:
            results = await self._ask(SearchParams.of(query, seconds * _SERVER_SHARE), seconds)
        except MantaError as exc:
            self._known = None
            if seconds >= _FAIR_WAIT_S or not isinstance(exc, DeadlineExceeded):
                self._breaker.failed()
            raise
        self._breaker.succeeded()
        return results

    async def close(self) -> None:
        if self._on_close is not None:
            await self._on_close()

    async def _ask(self, params: SearchParams, seconds: float) -> tuple[WebResult, ...]:
        try:
            async with asyncio.timeout(seconds) as timer:
                result = await self._call(params)
        except TimeoutError as exc:
            if not timer.expired():
                raise Unavailable(f"a timeout below: {self._name}") from exc
            raise DeadlineExceeded(f"the time was over at: {self._name}", self._name) from exc
        # The library's task groups wrap whatever is raised inside a session, and what broke the session.
        except FAULTS as exc:
            raise fault_of(exc, self._name) from exc
        if result.is_error:
            text = " ".join(part.text for part in result.content if isinstance(part, types.TextContent))
            raise error_of(result.meta, text, self._name)
        try:
            return SearchResults.model_validate(result.structured_content).web_results()
        except ValidationError as exc:
            raise EngineFailed(f"{self._name} answered with something that is no list of pages") from exc

    async def _call(self, params: SearchParams) -> types.CallToolResult:
        version = self._version()
        async with Client(
            self._connect(),
            mode=version or "auto",
            prior_discover=self._known if version else None,
            client_info=_CLIENT,
            cache=None,  # of listings, whose hashes are the point
        ) as client:
            require_pinned(TOOL_NAME, (await client.list_tools()).tools, self._pins, self._name)
            result = await client.call_tool(TOOL_NAME, params.model_dump(mode="json", exclude_none=True))
            self._known = client.session.discover_result
            return result

    def _version(self) -> str | None:
        """The protocol version to open with, which the server has named before; None: ask."""
        offered = self._known.supported_versions if self._known else ()
        return next((one for one in reversed(MODERN_PROTOCOL_VERSIONS) if one in offered), None)


def fault_of(exc: Exception, name: str) -> MantaError:
    """The error of our tree that a fault of the library means; what is none of its faults is raised again."""
    leaves = list(_leaves(exc))
    for leaf in leaves:
        if isinstance(leaf, MantaError):
            return leaf
    for leaf in leaves:
        if isinstance(leaf, httpx2.ConnectError | httpx2.TimeoutException):
            return Unavailable(f"{name} cannot be reached: {_said(leaf)}")
        if isinstance(leaf, httpx2.HTTPError):
            return EngineFailed(f"the connection to {name} broke: {_said(leaf)}")
        if isinstance(leaf, MCPError):
            return EngineFailed(f"{name} failed: {_said(leaf)}")
        if isinstance(leaf, RuntimeError | ValidationError):  # an answer that is not as its schema says
            return EngineFailed(f"{name} answered with something that is no result: {_said(leaf)}")
    raise exc


def in_memory(server: Server[Any]) -> Callable[[], Any]:
    """Connects to a server in this process: no socket, no JSON."""
    return lambda: server


def over_http(
    url: str, token: str | None, *, connect_timeout_s: float, max_connections: int
) -> tuple[Callable[[], Any], Callable[[], Awaitable[None]]]:
    """(connects to a server elsewhere, gives up the connections)."""
    http = httpx2.AsyncClient(
        headers={"authorization": f"Bearer {token}"} if token else {},
        # Reads have no time-out of their own: the search's deadline bounds them.
        timeout=httpx2.Timeout(None, connect=connect_timeout_s),
        limits=httpx2.Limits(max_connections=max_connections, max_keepalive_connections=max_connections),
        follow_redirects=False,
    )
    return lambda: streamable_http_client(url, http_client=http), http.aclose


def _leaves(exc: BaseException) -> Iterator[BaseException]:
    if isinstance(exc, BaseExceptionGroup):
        for inner in exc.exceptions:
            yield from _leaves(inner)
    else:
        yield exc


def _said(exc: BaseException) -> str:
    return one_line(str(exc), _MAX_MESSAGE_CHARS) or exc.__class__.__name__
