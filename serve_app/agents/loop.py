"""The loop of a model and its tools, by Strands: until it answers, a limit is reached or a person is asked.

An Agent is built for each run. Everything runs in the caller's task and in tasks that it awaits: cancelling it
stops the model and the tools.

Strands is a library that only replicas of agents load; nothing else imports this module at its top.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from strands import Agent
from strands.agent.conversation_manager import NullConversationManager
from strands.hooks import BeforeToolCallEvent
from strands.types._snapshot import SNAPSHOT_SCHEMA_VERSION, Snapshot
from strands.types.events import ToolResultEvent
from strands.types.exceptions import EventLoopException
from strands.types.tools import AgentTool, ToolGenerator, ToolUse
from strands.types.tools import ToolSpec as StrandsSpec

from serve_app.agents.base import Tool
from serve_app.agents.calling import Calling, OnCall
from serve_app.agents.handle_model import HandleModel
from serve_app.agents.run import AgentRun
from serve_app.engines.base import ModelClient
from serve_app.errors import BadRequest, MantaError
from serve_app.messages import JsonObject

_APPROVAL = "approval"


@dataclass(frozen=True, slots=True)
class PendingCall:
    """A call that waits for a person."""

    id: str
    tool: str
    arguments: JsonObject
    interrupt_id: str  # Strands' name for the wait

    def shown(self) -> JsonObject:
        return {"call_id": self.id, "tool": self.tool, "arguments": self.arguments}


@dataclass(frozen=True, slots=True)
class Paused:
    """A loop that waits: what for, and all that is needed to go on."""

    calls: tuple[PendingCall, ...]
    conversation: JsonObject  # Strands' snapshot of messages and waits: plain JSON
    faults: dict[str, str] = field(default_factory=dict)  # call -> why its arguments could not be read

    @classmethod
    def from_json(cls, document: JsonObject) -> Paused:
        """Of a document that `dataclasses.asdict` made."""
        return cls(**{**document, "calls": tuple(PendingCall(**call) for call in document["calls"])})


@dataclass(frozen=True, slots=True)
class Going:
    """What a paused loop goes on with."""

    paused: Paused
    approves: Mapping[str, bool]  # call -> whether it may be made
    reason: str = ""  # why others may not


async def run_loop(
    run: AgentRun,
    client: ModelClient,
    tools: Sequence[Tool],
    start: Sequence[JsonObject] | Going,
    on_call: OnCall,
) -> Paused | None:
    """Run it; where it waits for a person, with what.

    Args:
        start: the conversation, in Strands' messages, of which the last is the question; or a decision.

    Raises:
        MantaError: the model failed, or the time was over.
    """
    model = HandleModel(client, run, [tool.spec for tool in tools])
    calling = Calling(run, on_call)
    by_name = {tool.spec.name: tool for tool in tools}
    agent = Agent(
        model=model,
        tools=[_StrandsTool(tool, calling, model) for tool in tools],
        system_prompt=_instructions(run, has_tools=bool(tools)),
        callback_handler=None,
        conversation_manager=NullConversationManager(),
        retry_strategy=None,  # the handle asks again where that helps
    )
    agent.add_hook(
        _Gate(run, calling, by_name, start if isinstance(start, Going) else None), BeforeToolCallEvent
    )
    prompt: Any = _resumed(agent, model, start) if isinstance(start, Going) else list(start)
    try:
        return await _driven(agent, model, prompt)
    except EventLoopException as exc:
        if isinstance(exc.original_exception, MantaError):
            raise exc.original_exception from exc
        raise


def _instructions(run: AgentRun, *, has_tools: bool) -> str:
    """The agent's own, then the client's, then what holds for results of tools."""
    given = [turn["content"] for turn in run.question.history if turn["role"] in ("system", "developer")]
    return "\n\n".join([run.config.prompt, *given, *([run.fence.notice()] if has_tools else [])])


async def _driven(agent: Agent, model: HandleModel, prompt: Any) -> Paused | None:
    result = None
    # No await of ours between its events: so a cancellation always strikes inside, where the work is.
    async for event in agent.stream_async(prompt):
        result = event.get("result", result)
    assert result is not None
    if result.stop_reason != "interrupt":
        return None
    calls = tuple(
        PendingCall(one.reason["call_id"], one.reason["tool"], one.reason["arguments"], one.id)
        for one in result.interrupts or ()
    )
    snapshot = agent.take_snapshot(include=["messages", "interrupt_state"])
    return Paused(calls, snapshot.data, {call: fault.message for call, fault in model.faults.items()})


def _resumed(agent: Agent, model: HandleModel, going: Going) -> list[JsonObject]:
    """Put the agent where it was; what it is to be asked."""
    agent.load_snapshot(Snapshot("agent", SNAPSHOT_SCHEMA_VERSION, going.paused.conversation, {}))
    model.faults = {call: BadRequest(message) for call, message in going.paused.faults.items()}
    return [
        {
            "interruptResponse": {
                "interruptId": call.interrupt_id,
                "response": {"approve": going.approves[call.id]},
            }
        }
        for call in going.paused.calls
    ]


class _Gate:
    """Looks at each call before it is made: within the limits, and approved where it has to be."""

    def __init__(
        self, run: AgentRun, calling: Calling, tools: Mapping[str, Tool], going: Going | None
    ) -> None:
        self._run = run
        self._calling = calling
        self._tools = tools
        self._going = going

    def __call__(self, event: BeforeToolCallEvent) -> None:
        tool = self._tools.get(event.tool_use["name"])
        if tool is None:
            return  # Strands tells the model that there is no such tool
        spec, call_id = tool.spec, event.tool_use["toolUseId"]
        if (refusal := self._run.refusal(spec)) is not None:
            event.cancel_tool = self._calling.refuse(spec, call_id, refusal)
            return
        if not self._run.needs_approval(spec):
            return
        asked = {"call_id": call_id, "tool": spec.name, "arguments": event.tool_use["input"]}
        answer = event.interrupt(_APPROVAL, reason=asked)  # raises where nobody has answered yet
        if not answer["approve"]:
            reason = self._going.reason if self._going is not None else ""
            told = f"A person refused this call: {reason}" if reason else "A person refused this call."
            event.cancel_tool = self._calling.refuse(spec, call_id, told)


class _StrandsTool(AgentTool):
    """A Tool as Strands wants one."""

    def __init__(self, tool: Tool, calling: Calling, model: HandleModel) -> None:
        super().__init__()
        self._tool = tool
        self._calling = calling
        self._model = model

    @property
    def tool_name(self) -> str:
        return self._tool.spec.name

    @property
    def tool_spec(self) -> StrandsSpec:
        spec = self._tool.spec
        return {
            "name": spec.name,
            "description": spec.description,
            "inputSchema": {"json": spec.parameters},
        }

    @property
    def tool_type(self) -> str:
        return "manta"

    async def stream(self, tool_use: ToolUse, invocation_state: dict[str, Any], **_: Any) -> ToolGenerator:
        call_id = tool_use["toolUseId"]
        arguments = self._model.faults.get(call_id) or cast("JsonObject", tool_use["input"])
        result = await self._calling.call(self._tool, call_id, arguments)
        yield ToolResultEvent(
            {"toolUseId": call_id, "status": result.status, "content": [{"text": result.text}]}
        )
