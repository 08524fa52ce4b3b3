"""A declared agent over a scripted model and scripted tools."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import pytest

from configs.schema import AgentLimits, DeclaredAgent
from serve_app.agents.approvals import Approvals
from serve_app.agents.base import ToolOutput, ToolSpec
from serve_app.agents.declared import DeclaredAgentRunner
from serve_app.agents.run import AgentRun
from serve_app.agents.tools.registry import OwnTool
from serve_app.messages import (
    AgentEvent,
    AgentQuestion,
    ApprovalDecision,
    Deadline,
    Endpoint,
    JsonObject,
    RequestContext,
)
from serve_app.openai_api.responses import DONE, TextShape, usage
from serve_app.sessions.base import SessionStore
from serve_app.sessions.memory import MemorySessions

HANG = "hang"  # a step that never ends
NONCE = "0123456789abcdef"


@dataclass(frozen=True)
class Call:
    """A call that a scripted model makes. `arguments` may be text that is no JSON."""

    name: str
    arguments: Any = field(default_factory=dict)
    id: str = ""

    def piece(self, index: int) -> JsonObject:
        text = self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments)
        return {
            "index": index,
            "id": self.id or f"c{index}",
            "function": {"name": self.name, "arguments": text},
        }


@dataclass
class ScriptedModel:
    """A ModelClient: each call plays the next list of steps, at the end the last one again.

    Steps: text, calls, seconds to wait, an error to raise, HANG.
    """

    plans: list[list[Any]]
    tokens: int | None = 15  # of each call; None: it does not tell
    num_running: int = 0
    bodies: list[JsonObject] = field(default_factory=list)
    contexts: list[RequestContext] = field(default_factory=list)

    async def respond(self, endpoint: Endpoint, body: JsonObject, context: RequestContext) -> bytes:
        raise NotImplementedError

    async def stream(
        self, endpoint: Endpoint, body: JsonObject, context: RequestContext
    ) -> AsyncIterator[bytes]:
        assert endpoint is Endpoint.CHAT
        json.dumps(body)  # what cannot travel is found here
        self.bodies.append(body)
        self.contexts.append(context)
        plan = self.plans[min(len(self.bodies), len(self.plans)) - 1]
        shape = TextShape("id", body["model"], 0, is_chat=True)
        self.num_running += 1
        num_calls = 0
        try:
            for step in plan:
                if isinstance(step, Call):
                    yield shape.part("", {"tool_calls": [step.piece(num_calls)]})
                    num_calls += 1
                elif isinstance(step, str) and step != HANG:
                    yield shape.delta(step)
                else:
                    await play(step)
            counts = b"" if self.tokens is None else shape.counts(usage(self.tokens - 5, 5))
            yield shape.finish("tool_calls" if num_calls else "stop") + counts + DONE
        finally:
            self.num_running -= 1


@dataclass
class ScriptedTool:
    """A Tool that plays steps, and then gives its output."""

    spec: ToolSpec
    output: ToolOutput = ToolOutput("42")  # noqa: RUF009 (frozen)
    steps: list[Any] = field(default_factory=list)
    num_running: int = 0
    calls: list[JsonObject] = field(default_factory=list)
    contexts: list[RequestContext] = field(default_factory=list)

    async def call(self, arguments: JsonObject, context: RequestContext) -> ToolOutput:
        self.calls.append(arguments)
        self.contexts.append(context)
        self.num_running += 1
        try:
            for step in self.steps:
                await play(step)
            return self.output
        finally:
            self.num_running -= 1


async def play(step: Any) -> None:
    if step == HANG:
        await asyncio.get_running_loop().create_future()
    elif isinstance(step, Exception):
        raise step
    else:
        await asyncio.sleep(step)


def make_tool(name: str = "look", output: str | ToolOutput = "42", *steps: Any, **spec: Any) -> ScriptedTool:
    parameters = {
        "type": "object",
        "properties": {"key": {"type": "string"}},
        "additionalProperties": False,
    }
    made = ToolSpec(name, f"{name}.", parameters, **({"timeout_s": 10.0, "max_result_chars": 2000} | spec))
    given = ToolOutput(output) if isinstance(output, str) else output
    return ScriptedTool(made, given, list(steps))


@dataclass
class House:
    """An agent and what it stands on."""

    agent: DeclaredAgentRunner
    model: ScriptedModel
    tools: tuple[ScriptedTool, ...]
    ended: list[AgentRun]
    calls: list[tuple[Any, ...]]

    async def ask(
        self, question: str | AgentQuestion = "What is it?", *, within_s: float = 60.0, tenant: str = "acme"
    ) -> list[AgentEvent]:
        asked = AgentQuestion(question) if isinstance(question, str) else question
        async with aclosing(self.agent.answer(asked, context(within_s, tenant))) as events:
            return [event async for event in events]

    async def decide(self, decision: ApprovalDecision, *, tenant: str = "acme") -> list[AgentEvent]:
        async with aclosing(self.agent.resume(decision, context(60.0, tenant))) as events:
            return [event async for event in events]

    def num_running(self) -> int:
        return self.model.num_running + sum(one.num_running for one in self.tools)


def context(within_s: float = 60.0, tenant: str = "acme") -> RequestContext:
    return RequestContext("run-1", tenant, Deadline.after(within_s))


@pytest.fixture
def tool() -> Callable[..., ScriptedTool]:
    """Makes tools: (name, output, *steps, **spec)."""
    return make_tool


@pytest.fixture
def call() -> type[Call]:
    """Makes calls for a model's plan: (name, arguments, id)."""
    return Call


@pytest.fixture
def build() -> Callable[..., House]:
    def make(
        *plans: list[Any],
        tools: tuple[ScriptedTool, ...] = (),
        tokens: int | None = 15,
        sessions: SessionStore | None = None,
        approvals: Approvals | None = None,
        limits: dict[str, Any] | None = None,
        **config: Any,
    ) -> House:
        model = ScriptedModel(list(plans) or [["Done."]], tokens)
        settings = DeclaredAgent(
            **({"name": "helper", "model": "chat", "prompt": "Help."} | config),
            limits=AgentLimits(**(limits or {})),
        )
        ended: list[AgentRun] = []
        calls: list[tuple[Any, ...]] = []
        agent = DeclaredAgentRunner(
            settings,
            model,
            [OwnTool(one) for one in tools],
            sessions=sessions,
            approvals=approvals,
            on_end=ended.append,
            on_call=lambda *call: calls.append(call),
            make_nonce=lambda: NONCE,
        )
        return House(agent, model, tools, ended, calls)

    return make


@pytest.fixture
def approvals() -> Approvals:
    return Approvals(MemorySessions(), ttl_s=60.0)
