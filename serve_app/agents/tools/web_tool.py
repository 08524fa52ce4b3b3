"""Web search as a tool: pages that answers cite by their numbers.

What leaves for the provider is the query that the model wrote, which may hold what it has read: see
`after_untrusted` in the configuration.
"""

from __future__ import annotations

from dataclasses import replace

from configs.schema import WebTool
from serve_app.agent.pages import passage_of
from serve_app.agents.base import ToolOutput, ToolSpec
from serve_app.agents.tools.retrieval_tool import CITE, NOTHING_FOUND
from serve_app.messages import JsonObject, RequestContext
from serve_app.websearch.base import MAX_QUERY_CHARS, TimeRange, Topic, WebQuery, WebSearch

_PARAMETERS: JsonObject = {
    "type": "object",
    "properties": {
        "query": {
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_QUERY_CHARS,
            "description": "What to search for, in a few words.",
        },
        "topic": {
            "type": "string",
            "enum": [str(topic) for topic in Topic],
            "description": "Default: general.",
        },
        "time_range": {
            "type": "string",
            "enum": [str(one) for one in TimeRange],
            "description": "How old pages may be; any age without it.",
        },
    },
    "required": ["query"],
    "additionalProperties": False,
}


class WebSearchTool:
    """A Tool over a WebSearch."""

    def __init__(self, config: WebTool, web: WebSearch) -> None:
        self._web = web
        self._num_results = config.num_results
        self._max_chars = config.max_result_chars // config.num_results  # of each page
        self._spec = ToolSpec.of(config, config.description + CITE, _PARAMETERS)

    @property
    def spec(self) -> ToolSpec:
        return self._spec

    async def call(self, arguments: JsonObject, context: RequestContext) -> ToolOutput:
        time_range = arguments.get("time_range")
        query = WebQuery(
            arguments["query"],
            Topic(arguments.get("topic", Topic.GENERAL)),
            self._num_results,
            None if time_range is None else TimeRange(time_range),
        )
        pages = await self._web.search(query, context)
        if not pages:
            return ToolOutput(NOTHING_FOUND)
        cut = (passage_of(replace(page, text=page.text[: self._max_chars])) for page in pages)
        return ToolOutput(passages=tuple(cut))
