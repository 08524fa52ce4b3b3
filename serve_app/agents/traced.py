"""Declared agents and their tools as they are when they are traced (`serve_app.telemetry.traced` has the others)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from serve_app.agents.base import DeclaredAgentClient, Tool, ToolOutput, ToolSource, ToolSpec
from serve_app.messages import AgentEvent, ApprovalDecision, JsonObject, RequestContext
from serve_app.openai_api.responses import encode
from serve_app.telemetry.spans import Tracer, spanning
from serve_app.telemetry.traced import PROVIDER, TracedAgent, tool_attributes


class TracedDeclaredAgent(TracedAgent):
    """A DeclaredAgentClient: a span for each run, and one for the rest of a run that was paused."""

    def __init__(self, agent: DeclaredAgentClient, tracer: Tracer, name: str) -> None:
        super().__init__(agent, tracer, name)
        self._declared = agent

    async def resume(self, decision: ApprovalDecision, context: RequestContext) -> AsyncGenerator[AgentEvent]:
        asked = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.provider.name": PROVIDER,
            "gen_ai.agent.name": self._name,
            "manta.tenant": context.tenant,
            "manta.run_id": decision.run_id,
        }
        final: AgentEvent | None = None
        with spanning(self._tracer, f"invoke_agent {self._name}", context, asked) as (span, own):
            events = self._declared.resume(decision, own)
            assert isinstance(events, AsyncGenerator)
            async with aclosing(events):
                async for event in events:
                    if event.type == "answer.final":
                        final = event
                        self._tell(span, event.data)
                    else:
                        yield event
        # After the span: readers leave with this event, and that is no cancellation.
        if final is not None:
            yield final


class TracedSource:
    """A ToolSource whose tools' calls are spans."""

    def __init__(self, source: ToolSource, tracer: Tracer) -> None:
        self._source = source
        self._tracer = tracer

    @property
    def name(self) -> str:
        return self._source.name

    async def tools(self, context: RequestContext) -> tuple[Tool, ...]:
        return tuple(_TracedTool(tool, self._tracer) for tool in await self._source.tools(context))

    async def close(self) -> None:
        await self._source.close()


class _TracedTool:
    def __init__(self, tool: Tool, tracer: Tracer) -> None:
        self._tool = tool
        self._tracer = tracer

    @property
    def spec(self) -> ToolSpec:
        return self._tool.spec

    async def call(self, arguments: JsonObject, context: RequestContext) -> ToolOutput:
        name = self.spec.name
        with spanning(self._tracer, f"execute_tool {name}", context, tool_attributes(name)) as (span, own):
            if self._tracer.captures_content:
                span.set({"gen_ai.tool.call.arguments": encode(arguments).decode()})
            output = await self._tool.call(arguments, own)
            span.set({"manta.num_results": len(output.passages), "manta.tool.is_error": output.is_error})
        return output
