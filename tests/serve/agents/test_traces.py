"""The trace of a declared agent's run, as a real receiver gets it: its model, its tools, and an agent that it asks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from typing import Any

import httpx
import pytest

from configs.schema import (
    AgentLimits,
    AgentTool,
    DeclaredAgent,
    HttpTool,
    IngressConfig,
    MockModel,
    TracingConfig,
)
from serve_app.agents.approvals import Approvals
from serve_app.agents.declared import DeclaredAgentRunner
from serve_app.agents.tools.registry import open_tools
from serve_app.agents.traced import TracedDeclaredAgent, TracedSource
from serve_app.engines.cards import agent_card
from serve_app.engines.mock import MockGenerator
from serve_app.engines.text_edge import TextEdge
from serve_app.ingress.app import create_app
from serve_app.ingress.services import Services
from serve_app.sessions.memory import MemorySessions
from serve_app.telemetry.metrics import count_nothing
from serve_app.telemetry.traced import trace_model
from serve_app.telemetry.tracing import Tracing

# Stands in every argument and every result.
CANARY = "xylophone"
ROUTE, APPROVAL = "POST /v1/agent/answers", "POST /v1/agents/runs/{run_id}/approval"


class House:
    """An application with the agents `ops`, who has tools, and `boss`, who may ask `ops`; traced to a receiver."""

    def __init__(self, api: Any, receiver: Any, **more: Any) -> None:
        exporter = {"kind": "otlp", "endpoint": f"{receiver.url}/v1/traces"}
        config = TracingConfig(exporters=(exporter,), export_every_s=0.05, **more)
        self._tracing = Tracing(config, "test", count_nothing)
        tracer = self._tracing.tracer
        assert tracer is not None
        model = trace_model(
            TextEdge(MockGenerator(MockModel(name="chat", engine="mock", ttft_ms=0, tpot_ms=0))), tracer
        )
        tools = [_tool(api, "look", "/echo/look"), _tool(api, "fail", "/bad/failed")]
        tools.append(_tool(api, "delete", "/echo/delete", method="DELETE", approval=True))
        self._sources = [TracedSource(one, tracer) for one in open_tools(tools, None, {}, {})]  # type: ignore[arg-type]
        limits = AgentLimits(max_answer_tokens=20)
        ops = DeclaredAgent(
            name="ops", model="chat", prompt="Operate.", tools=("look", "fail", "delete"), limits=limits
        )
        boss = DeclaredAgent(name="boss", model="chat", prompt="Boss.", tools=("ask_ops",), limits=limits)
        approvals = Approvals(MemorySessions(), 60.0)
        agents = {
            "ops": TracedDeclaredAgent(
                DeclaredAgentRunner(ops, model, self._sources, approvals=approvals), tracer, "ops"
            )
        }
        asking = open_tools(
            [AgentTool(name="ask_ops", kind="agent", agent="ops")], None, agents, {"ops": "Ops."}
        )  # type: ignore[arg-type]
        agents["boss"] = TracedDeclaredAgent(
            DeclaredAgentRunner(boss, model, [TracedSource(one, tracer) for one in asking]), tracer, "boss"
        )
        services = Services(
            models={"chat": model},
            embedders={},
            agents=agents,
            declared=agents,
            knowledge=None,  # type: ignore[arg-type]
            cards={"chat": model.card(), "ops": agent_card(ops), "boss": agent_card(boss)},
        )
        app = create_app(IngressConfig(), services, tracer=tracer)
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://manta")

    async def ask(self, agent: str, question: str) -> Any:
        response = await self.http.post("/v1/agent/answers", json={"agent": agent, "question": question})
        assert response.status_code == 200, response.text
        return response.json()

    async def close(self) -> None:
        """Everything is exported when it returns. Closing twice is fine."""
        if not self.http.is_closed:
            await self.http.aclose()
            for source in self._sources:
                await source.close()
            await self._tracing.close()


def _tool(api: Any, name: str, path: str, **more: Any) -> HttpTool:
    return HttpTool(
        name=name,
        kind="http",
        description=f"{name}.",
        url=f"{api.url}{path}",
        parameters={"key": {"type": "string"}},
        optional=("key",),
        **more,
    )


@pytest.fixture
async def build(
    api: Any, otlp_receiving: Callable[[], AbstractContextManager[Any]]
) -> AsyncIterator[Callable[..., tuple[House, Any]]]:
    houses: list[House] = []
    with otlp_receiving() as receiver:

        def make(**more: Any) -> tuple[House, Any]:
            houses.append(House(api, receiver, **more))
            return houses[-1], receiver

        yield make
        for house in houses:
            await house.close()


async def test_each_call_of_a_tool_is_a_span_between_the_models(build: Any) -> None:
    house, receiver = build()
    answer = await house.ask("ops", f'call:look {{"key": "{CANARY}"}}')
    await house.close()
    assert receiver.tree() == (
        ROUTE,
        [("invoke_agent ops", [("chat chat", []), ("chat chat", []), ("execute_tool look", [])])],
    )
    assert {span.trace_id for span in receiver.spans} == {answer["trace_id"]}
    tool = receiver.one("execute_tool look").attributes
    assert tool["gen_ai.operation.name"] == "execute_tool"
    assert tool["gen_ai.tool.name"] == "look"
    assert tool["manta.tool.is_error"] is False
    assert receiver.one("invoke_agent ops").attributes["manta.flags"] == answer["flags"]


async def test_a_tool_that_fails_is_an_error_on_its_own_span_alone(build: Any) -> None:
    house, receiver = build()
    assert "tool_failed" in (await house.ask("ops", "call:fail"))["flags"]
    await house.close()
    failed = [span for span in receiver.spans if span.status == 2]
    assert [span.name for span in failed] == ["execute_tool fail"]
    assert failed[0].attributes["error.type"]
    assert not any(b"hunter2" in body for body in receiver.bodies)  # what the server said of its failure


async def test_an_agent_that_is_asked_hangs_below_the_tool_that_asks_it(build: Any) -> None:
    house, receiver = build()
    answer = await house.ask("boss", """call:ask_ops {"question": "call:look {}"}""")
    await house.close()
    (asked,) = receiver.children(receiver.one("execute_tool ask_ops"))
    assert asked.name == "invoke_agent ops"
    assert receiver.one("execute_tool look").parent_id == asked.span_id
    assert receiver.one("execute_tool ask_ops").parent_id == receiver.one("invoke_agent boss").span_id
    # Tokens stand on the models' spans alone: the sum of the trace is what the answer says.
    told = [span.attributes for span in receiver.spans if "gen_ai.usage.input_tokens" in span.attributes]
    assert {one["gen_ai.operation.name"] for one in told} == {"chat"}
    assert sum(one["gen_ai.usage.input_tokens"] for one in told) == answer["usage"]["prompt_tokens"]


async def test_what_follows_an_approval_is_a_trace_that_knows_its_run(build: Any) -> None:
    house, receiver = build()
    paused = await house.ask("ops", "call:delete")
    assert paused["outcome"] == "paused"
    body = {"agent": "ops", "token": paused["approval"]["token"], "approve": True}
    rest = await house.http.post(f"/v1/agents/runs/{paused['run_id']}/approval", json=body)
    assert rest.status_code == 200, rest.text
    await house.close()
    ingress = receiver.one(APPROVAL)
    (agent,) = receiver.children(ingress)
    assert agent.name == "invoke_agent ops"
    assert agent.attributes["manta.run_id"] == paused["run_id"]
    assert [one.name for one in receiver.children(agent)].count("execute_tool delete") == 1
    assert body["token"].encode() not in b"".join(receiver.bodies)


@pytest.mark.parametrize("is_captured", [False, True])
async def test_arguments_and_results_leave_only_where_they_are_asked_for(
    build: Any, api: Any, is_captured: bool
) -> None:
    house, receiver = build(capture_content=is_captured)
    await house.ask("ops", f'call:look {{"key": "{CANARY}"}}')
    await house.close()
    assert CANARY in api.requests[0]["query"]
    assert any(CANARY.encode() in body for body in receiver.bodies) == is_captured
