"""The tools that a configuration describes. Imports what is configured, and no more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from configs.schema import AgentTool, FetchTool, HttpTool, McpTools, RetrievalTool, ToolConfig, WebTool
from serve_app.agent.base import AgentClient
from serve_app.agents.base import Tool, ToolSource
from serve_app.messages import RequestContext
from serve_app.retrieval.base import KnowledgeClient
from serve_app.websearch.base import WebSearch


async def _nothing() -> None:
    """There is nothing to let go of."""


class OwnTool:
    """A ToolSource of one tool that is always there. `close` lets go of what it holds."""

    def __init__(self, tool: Tool, close: Callable[[], Awaitable[None]] = _nothing) -> None:
        self._tool = tool
        self._close = close

    @property
    def name(self) -> str:
        return self._tool.spec.name

    async def tools(self, context: RequestContext) -> tuple[Tool, ...]:
        return (self._tool,)

    async def close(self) -> None:
        await self._close()


def open_tools(
    configs: Sequence[ToolConfig],
    knowledge: KnowledgeClient,
    agents: Mapping[str, AgentClient],
    descriptions: Mapping[str, str],
    web: WebSearch | None = None,
) -> tuple[ToolSource, ...]:
    """The sources, in the configuration's order; nothing is reached before its first use.

    Args:
        agents: those that tools name.
        descriptions: what each of them is good for.
        web: for tools that search it.

    Raises:
        ConfigError: a secret is not set.
    """
    return tuple(_open(config, knowledge, agents, descriptions, web) for config in configs)


def _open(
    config: ToolConfig,
    knowledge: KnowledgeClient,
    agents: Mapping[str, AgentClient],
    descriptions: Mapping[str, str],
    web: WebSearch | None,
) -> ToolSource:
    if isinstance(config, HttpTool):
        from serve_app.agents.tools.http_tool import HttpApiTool

        api = HttpApiTool(config)
        return OwnTool(api, api.close)
    if isinstance(config, RetrievalTool):
        from serve_app.agents.tools.retrieval_tool import KnowledgeTool

        return OwnTool(KnowledgeTool(config, knowledge))
    if isinstance(config, WebTool):
        from serve_app.agents.tools.web_tool import WebSearchTool

        assert web is not None  # the schema sees to it
        return OwnTool(WebSearchTool(config, web))
    if isinstance(config, FetchTool):
        from serve_app.agents.tools.fetch_tool import FetchPageTool

        page = FetchPageTool(config)
        return OwnTool(page, page.close)
    if isinstance(config, AgentTool):
        from serve_app.agents.tools.agent_tool import AskAgentTool

        return OwnTool(AskAgentTool(config, agents[config.agent], descriptions[config.agent]))
    assert isinstance(config, McpTools)
    from serve_app.agents.tools.mcp_tools import McpToolSource

    return McpToolSource(config)
