"""The web search that a configuration describes. What a provider needs is imported when it is opened."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from urllib.parse import urlsplit

from configs.load import ProfileError, secret
from configs.schema import (
    FixtureProvider,
    McpProvider,
    SearxngProvider,
    SecretRef,
    TavilyProvider,
    WebSearchConfig,
)
from serve_app.breaker import Breaker
from serve_app.errors import ConfigError, Unavailable
from serve_app.messages import RequestContext
from serve_app.websearch.base import OpenWebSearch, WebQuery, WebResult
from serve_app.websearch.screening import Limits, ScreenedWeb

logger = logging.getLogger("manta.web")

SERVER_NAME = "manta-web-search"


class UnavailableWeb:
    """A web search that is configured and cannot work: answers that need it are flagged, and say nothing else."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    async def search(self, query: WebQuery, context: RequestContext) -> tuple[WebResult, ...]:
        raise Unavailable(f"the web cannot be searched: {self._reason}")

    async def close(self) -> None:
        """There is nothing to give up."""


def open_web(config: WebSearchConfig, folder: Path) -> OpenWebSearch:
    """The web search for an agent, behind MCP wherever it runs.

    Without the key that it needs it is there and unavailable, with a line in the log.

    Args:
        folder: Manta's home.
    """
    try:
        if isinstance(config.provider, McpProvider):
            return ScreenedWeb(_remote(config, config.provider), Limits.of(config))
        return _inside(config, folder)
    except ConfigError as exc:
        logger.warning("the web cannot be searched: %s", exc.message)
        return UnavailableWeb(exc.message)


def open_source(config: WebSearchConfig, folder: Path) -> OpenWebSearch:
    """The provider itself within the configuration's limits: what the MCP server serves.

    Raises:
        ConfigError: the key is not set, a file cannot be read, or the provider is itself an MCP server.
    """
    return ScreenedWeb(_provider(config, folder), Limits.of(config))


def _inside(config: WebSearchConfig, folder: Path) -> OpenWebSearch:
    from serve_app.tool_server.server import make_server
    from serve_app.websearch.client import McpWeb, in_memory
    from serve_app.websearch.tool import search_tool

    source = open_source(config, folder)
    return McpWeb(
        in_memory(make_server(SERVER_NAME, [search_tool(source)])),
        f"the web search ({config.provider.kind})",
        own_pins(),
        _breaker(config),
        source.close,
    )


def _remote(config: WebSearchConfig, provider: McpProvider) -> OpenWebSearch:
    from serve_app.websearch.client import McpWeb, over_http

    token = None if provider.token is None else _secret(provider.token)
    connect, close = over_http(
        provider.url,
        token,
        connect_timeout_s=config.connect_timeout_s,
        max_connections=config.max_connections,
    )
    name = f"the web search at {urlsplit(provider.url).netloc.rpartition('@')[2]}"
    return McpWeb(connect, name, provider.pins or own_pins(), _breaker(config), close)


def own_pins() -> dict[str, str]:
    """Tool -> hash, as this version of Manta defines it."""
    from serve_app.tool_server.pins import tool_hash
    from serve_app.tool_server.server import definition
    from serve_app.websearch.tool import search_tool

    tool = definition(search_tool(UnavailableWeb("never asked")))
    return {tool.name: tool_hash(tool)}


def _provider(config: WebSearchConfig, folder: Path) -> OpenWebSearch:
    chosen = config.provider
    if isinstance(chosen, McpProvider):
        raise ConfigError(
            "web_search.provider is itself an MCP server; the search runs where that is configured"
        )
    if isinstance(chosen, FixtureProvider):
        from serve_app.websearch.fixture import FixtureWeb

        return FixtureWeb.from_file(folder / Path(chosen.path).expanduser())
    from serve_app.websearch.provider import Provider

    def requests(name: str, key: str | None) -> Provider:
        return Provider(
            name,
            chosen.url,
            key,
            connect_timeout_s=config.connect_timeout_s,
            max_connections=config.max_connections,
            max_response_bytes=config.max_response_bytes,
        )

    if isinstance(chosen, TavilyProvider):
        from serve_app.websearch.tavily_web import TavilyWeb

        return TavilyWeb(requests("Tavily", _secret(chosen.api_key)), chosen.depth)
    assert isinstance(chosen, SearxngProvider)
    from serve_app.websearch.searxng_web import SearxngWeb

    return SearxngWeb(requests("SearXNG", None), chosen.engines, chosen.language)


def _breaker(config: WebSearchConfig) -> Breaker:
    return Breaker("the web search", config.breaker_failures, config.breaker_pause_s, time.monotonic)


def _secret(reference: SecretRef) -> str:
    try:
        value = secret(reference)
    except ProfileError as exc:
        raise ConfigError(f"web_search: {exc}") from exc
    if not value.isascii() or not value.isprintable():
        raise ConfigError(f"web_search: {reference.env} has characters that no HTTP header may have")
    return value
