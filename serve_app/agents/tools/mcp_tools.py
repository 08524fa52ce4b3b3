"""Tools of an MCP server, over streamable HTTP.

A listing and a call each open a session of their own and end it, in the task that asks: cancelling it cancels
everything below, and a server that comes back is simply asked again. What a server says of its tools goes into
prompts, so tools that read like instructions, or that are not as pinned, are left out.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import httpx2
import mcp_types as types
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client

from configs.schema import McpTools
from serve_app.agents.base import ToolOutput, ToolSpec
from serve_app.agents.tools.secret_header import header_of
from serve_app.breaker import Breaker
from serve_app.errors import DeadlineExceeded, EngineFailed, MantaError, Unavailable
from serve_app.grounding.suspicion import suspicion
from serve_app.grounding.untrusted import clean
from serve_app.messages import JsonObject, RequestContext
from serve_app.tool_server.pins import tool_hash
from serve_app.websearch.client import FAULTS, fault_of

logger = logging.getLogger("manta.agents")

T = TypeVar("T")

_LISTING_S = 300.0  # for which what a server offers is believed
_MAX_FAILURES, _PAUSE_S = 5, 30.0
_CONNECT_S = 5.0
_MAX_DESCRIPTION_CHARS = 1000
_SUSPICIOUS_AT = 0.8


class McpToolSource:
    """The tools of one server that may be called. The listing is kept for a while."""

    def __init__(self, config: McpTools, now_s: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._now_s = now_s
        self._server = McpServer(config, now_s)
        self._listed: tuple[McpTool, ...] = ()
        self._listed_at_s: float | None = None
        self._listing = asyncio.Lock()

    @property
    def name(self) -> str:
        return self._config.name

    async def tools(self, context: RequestContext) -> tuple[McpTool, ...]:
        async with self._listing:
            at_s = self._listed_at_s
            if at_s is None or self._now_s() - at_s > _LISTING_S:
                offered = await self._server.list(context)
                self._listed = tuple(self._usable(offered))
                self._listed_at_s = self._now_s()
            return self._listed

    async def close(self) -> None:
        await self._server.close()

    def _usable(self, offered: dict[str, types.Tool]) -> list[McpTool]:
        found = []
        for name in self._config.tools:
            reason = self._why_not(name, offered.get(name))
            if reason is None:
                found.append(McpTool(self._config, offered[name], self._server))
            else:
                logger.warning("the tool %s of %s is left out: %s", name, self._config.name, reason)
        if not found:
            raise Unavailable(f"{self._config.name} has none of the tools that may be called")
        return found

    def _why_not(self, name: str, tool: types.Tool | None) -> str | None:
        if tool is None:
            return "the server does not have it"
        pin = self._config.pins.get(name)
        if pin is not None and tool_hash(tool) != pin:
            return f"it is not as pinned, but {tool_hash(tool)}; look at it and pin it again"
        told = clean(f"{tool.description or ''}\n{json.dumps(tool.input_schema)}", 100_000)
        if pin is None and suspicion(told).score >= _SUSPICIOUS_AT:
            return "what it says of itself reads like instructions to a model; look at it and pin it"
        return None


class McpTool:
    """A Tool of a server."""

    def __init__(self, config: McpTools, tool: types.Tool, server: McpServer) -> None:
        self._own_name = tool.name
        self._pin = config.pins.get(tool.name)
        self._server = server
        self._spec = ToolSpec.of(
            config,
            clean(tool.description or tool.name, _MAX_DESCRIPTION_CHARS),
            {"type": "object", **tool.input_schema},
            name=f"{config.name}_{tool.name}",
        )

    @property
    def spec(self) -> ToolSpec:
        return self._spec

    async def call(self, arguments: JsonObject, context: RequestContext) -> ToolOutput:
        result = await self._server.call(self._own_name, arguments, context, pin=self._pin)
        texts = [part.text for part in result.content if isinstance(part, types.TextContent)]
        if not texts and result.structured_content is not None:
            texts = [json.dumps(result.structured_content, ensure_ascii=False)]
        if not texts and result.content:
            raise EngineFailed(f"{self._spec.name} answered with something that is no text")
        return ToolOutput("\n".join(texts), is_error=bool(result.is_error))


class McpServer:
    """Sessions of one server, over a pool of connections."""

    def __init__(self, config: McpTools, now_s: Callable[[], float]) -> None:
        self._config = config
        self._breaker = Breaker(config.name, _MAX_FAILURES, _PAUSE_S, now_s)
        self._http = httpx2.AsyncClient(
            headers={"accept-encoding": "identity", **header_of(config.secret, config.name)},
            # Reads have no time-out of their own: the call's deadline bounds them.
            timeout=httpx2.Timeout(None, connect=_CONNECT_S),
            transport=_Bounded(httpx2.AsyncHTTPTransport(), config.max_response_bytes),
            follow_redirects=False,
            trust_env=False,
        )

    async def list(self, context: RequestContext) -> dict[str, types.Tool]:
        """What it offers, by name. Raises as `call`."""

        async def ask(client: Client) -> dict[str, types.Tool]:
            return {tool.name: tool for tool in (await client.list_tools()).tools}

        return await self._asked(ask, context)

    async def call(
        self, name: str, arguments: JsonObject, context: RequestContext, *, pin: str | None = None
    ) -> types.CallToolResult:
        """What a tool gives; one with a pin only if it is still as pinned, which the same session is asked first.

        Raises:
            Unavailable, EngineFailed: the server cannot be asked, or breaks off; the tool has changed.
            DeadlineExceeded: the time was over.
        """

        async def ask(client: Client) -> types.CallToolResult | None:
            if pin is not None:
                listed = {tool.name: tool for tool in (await client.list_tools()).tools}
                if name not in listed or tool_hash(listed[name]) != pin:
                    return None
            return await client.call_tool(name, arguments)

        result = await self._asked(ask, context)
        if result is None:
            logger.warning("the tool %s of %s is not called: it is not as pinned", name, self._config.name)
            raise Unavailable(f"the tool {name} of {self._config.name} has changed since it was pinned")
        return result

    async def close(self) -> None:
        await self._http.aclose()

    async def _asked(self, ask: Callable[[Client], Awaitable[T]], context: RequestContext) -> T:
        self._breaker.check()
        try:
            result = await self._session(ask, context)
        except MantaError:
            self._breaker.failed()
            raise
        self._breaker.succeeded()
        return result

    async def _session(self, ask: Callable[[Client], Awaitable[T]], context: RequestContext) -> T:
        name = self._config.name
        context.deadline.check(name)
        try:
            async with asyncio.timeout(context.deadline.remaining_s()) as timer:
                transport = streamable_http_client(self._config.url, http_client=self._http)
                async with Client(transport, cache=None) as client:
                    return await ask(client)
        except TimeoutError as exc:
            if not timer.expired():
                raise Unavailable(f"a timeout below: {name}") from exc
            raise DeadlineExceeded(f"the time was over at: {name}", name) from exc
        # The library's task groups wrap whatever is raised inside a session, and what broke the session.
        except FAULTS as exc:
            fault = fault_of(exc, name)
            # What the other side says of its failure is for the log, and not for the model.
            logger.info("%s", fault)
            raise fault.__class__(f"{name} cannot be asked ({fault.code})") from exc


class _Bounded(httpx2.AsyncBaseTransport):
    """A transport whose responses have an end."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, max_bytes: int) -> None:
        self._inner = inner
        self._max_bytes = max_bytes

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._inner.handle_async_request(request)
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            raise httpx2.DecodingError("a compressed response, which was not asked for")
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        stream = _BoundedStream(response.stream, self._max_bytes)
        return httpx2.Response(
            response.status_code, headers=response.headers, stream=stream, extensions=response.extensions
        )

    async def aclose(self) -> None:
        await self._inner.aclose()


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, max_bytes: int) -> None:
        self._inner = inner
        self._max_bytes = max_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        num_bytes = 0
        async for chunk in self._inner:
            num_bytes += len(chunk)
            if num_bytes > self._max_bytes:
                raise httpx2.ReadError(f"a response of more than {self._max_bytes} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()
