"""The knowledge base as a tool: passages of the asking tenant's documents, which answers cite by their numbers."""

from __future__ import annotations

from typing import Any

from configs.schema import RetrievalTool
from serve_app.agents.base import ToolOutput, ToolSpec
from serve_app.messages import JsonObject, RequestContext, SearchQuery
from serve_app.retrieval.base import KnowledgeClient

_PARAMETERS: JsonObject = {
    "type": "object",
    "properties": {
        "query": {"type": "string", "minLength": 1, "maxLength": 1000, "description": "What to search for."}
    },
    "required": ["query"],
    "additionalProperties": False,
}
NOTHING_FOUND = "Nothing was found."
CITE = " After a statement that rests on a passage put its number, like [1]."


class KnowledgeTool:
    """A Tool over a knowledge base. The tenant is that of the request, whatever the model asks for."""

    def __init__(self, config: RetrievalTool, knowledge: KnowledgeClient) -> None:
        self._knowledge = knowledge
        self._num_passages = config.num_passages
        self._filters: dict[str, Any] = dict(config.filters)
        self._spec = ToolSpec.of(config, config.description + CITE, _PARAMETERS)

    @property
    def spec(self) -> ToolSpec:
        return self._spec

    async def call(self, arguments: JsonObject, context: RequestContext) -> ToolOutput:
        query = SearchQuery(arguments["query"], self._num_passages, filters=self._filters)
        found = await self._knowledge.search(query, context)
        return ToolOutput(passages=found.passages) if found.passages else ToolOutput(NOTHING_FOUND)
