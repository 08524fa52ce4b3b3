"""Another agent as a tool. It is asked without the conversation, and cannot wait for a person."""

from __future__ import annotations

from configs.schema import AgentTool
from serve_app.agent.base import AgentClient
from serve_app.agent.leaving import guarded, urls
from serve_app.agents.base import ToolOutput, ToolSpec
from serve_app.errors import EngineFailed
from serve_app.messages import AgentQuestion, JsonObject, RequestContext
from serve_app.streams import close

_PARAMETERS: JsonObject = {
    "type": "object",
    "properties": {
        "question": {
            "type": "string",
            "minLength": 1,
            "maxLength": 8000,
            "description": "The question, with all that is needed to understand it.",
        }
    },
    "required": ["question"],
    "additionalProperties": False,
}


class AskAgentTool:
    """A Tool over an AgentClient. `description` is the agent's own, where the tool has none."""

    def __init__(self, config: AgentTool, agent: AgentClient, description: str) -> None:
        self._agent = agent
        self._name = config.agent
        self._spec = ToolSpec.of(config, config.description or description, _PARAMETERS)

    @property
    def spec(self) -> ToolSpec:
        return self._spec

    async def call(self, arguments: JsonObject, context: RequestContext) -> ToolOutput:
        question = AgentQuestion(arguments["question"], may_pause=False)
        events = self._agent.answer(question, context)
        try:
            async for event in events:
                if event.type == "answer.final":
                    text = event.data["text"]
                    # Its citations are of passages that nobody here has.
                    return ToolOutput(guarded(text, 0, urls([text])), usage=event.data["usage"])
        finally:
            await close(events)
        raise EngineFailed(f"{self._name} ended without an answer")
