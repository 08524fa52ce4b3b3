"""A declared agent behind the HTTP application: a mock model that calls tools by order, and a real API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI

from configs.schema import AgentLimits, AgentTool, DeclaredAgent, HttpTool, IngressConfig, MockModel
from serve_app.agents.approvals import Approvals
from serve_app.agents.declared import DeclaredAgentRunner
from serve_app.agents.tools.registry import open_tools
from serve_app.engines.cards import agent_card
from serve_app.engines.mock import MockGenerator
from serve_app.engines.text_edge import TextEdge
from serve_app.ingress.app import create_app
from serve_app.ingress.services import Services
from serve_app.sessions.memory import MemorySessions

WRITTEN = ["cut"]  # a mock model always writes as much as it may


@dataclass
class Running:
    """An application with the agents `ops` (who has all tools) and `boss` (who may ask `ops`)."""

    url: str
    generator: MockGenerator
    http: httpx.AsyncClient

    async def answer(
        self, question: str, headers: dict[str, str] | None = None, **more: Any
    ) -> httpx.Response:
        body = {"agent": "ops", "question": question, **more}
        return await self.http.post("/v1/agent/answers", json=body, headers=headers)

    async def decide(
        self, approval: dict[str, Any], headers: dict[str, str] | None = None, **more: Any
    ) -> httpx.Response:
        body = {"agent": approval["agent"], "token": approval["token"], "approve": True, **more}
        return await self.http.post(
            f"/v1/agents/runs/{approval['run_id']}/approval", json=body, headers=headers
        )


@pytest.fixture
async def running(api: Any, serve: Any) -> AsyncIterator[Running]:
    def look(name: str, path: str, **more: Any) -> HttpTool:
        return HttpTool(
            name=name,
            kind="http",
            description=f"{name}.",
            url=f"{api.url}{path}",
            parameters={"key": {"type": "string"}},
            optional=("key",),
            **more,
        )

    tools = [
        look("look", "/echo/look"),
        look("hang", "/bad/hang", timeout_s=60.0),
        look("slow", "/bad/hang", timeout_s=0.5),
        look("fail", "/bad/failed"),
        look("attack", "/bad/attack"),
        look("delete", "/echo/delete", method="DELETE", approval=True),
    ]
    generator = MockGenerator(MockModel(name="chat", engine="mock", ttft_ms=0, tpot_ms=1))
    model, knowledge = TextEdge(generator), None
    ops = DeclaredAgent(
        name="ops",
        model="chat",
        prompt="Operate.",
        tools=tuple(tool.name for tool in tools),
        limits=AgentLimits(max_answer_tokens=20),
    )
    boss = DeclaredAgent(name="boss", model="chat", prompt="Boss.", tools=("ask_ops",))
    sources = open_tools(tools, knowledge, {}, {})  # type: ignore[arg-type]
    agents = {"ops": DeclaredAgentRunner(ops, model, sources, approvals=Approvals(MemorySessions(), 60.0))}
    asking = open_tools(
        [AgentTool(name="ask_ops", kind="agent", agent="ops")],
        knowledge,  # type: ignore[arg-type]
        agents,
        {"ops": "Operates."},
    )
    agents["boss"] = DeclaredAgentRunner(boss, model, asking)
    services = Services(
        models={"chat": model},
        embedders={},
        agents=agents,
        declared=agents,
        knowledge=knowledge,  # type: ignore[arg-type]
        cards={"chat": model.card(), "ops": agent_card(ops), "boss": agent_card(boss)},
    )
    async with (
        serve(create_app(IngressConfig(), services)) as url,
        httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as http,
    ):
        yield Running(url, generator, http)
    for source in sources:
        await source.close()


def events_of(text: str) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "data" in lines:
            found.append((lines["event"], json.loads(lines["data"])))
    return found


async def test_an_agent_calls_its_tool(running: Running, api: Any) -> None:
    final = (await running.answer('call:look {"key": "a"}')).json()
    assert (final["flags"], final["model"], final["agent"]) == (WRITTEN, "chat", "ops")
    assert final["text"]
    assert api.requests[0]["query"] == "key=a"
    assert [one["state"] for one in final["run"]] == ["model", "tool:look", "model"]


async def test_every_step_is_an_event(running: Running) -> None:
    response = await running.answer("call:look", stream=True)
    events = events_of(response.text)
    names = [name for name, _ in events]
    assert names[:3] == ["run.started", "tool.started", "tool.ended"]
    assert names[-1] == "answer.final"
    text = "".join(data["text"] for name, data in events if name == "answer.delta")
    assert text == events[-1][1]["text"]


@pytest.mark.parametrize(
    ("order", "flag"), [("fail", "tool_failed"), ("slow", "tool_failed"), ("attack", "output_withheld")]
)
async def test_a_tool_that_misbehaves_is_a_flag(running: Running, order: str, flag: str) -> None:
    final = (await running.answer(f"call:{order}")).json()
    assert (final["outcome"], final["flags"]) == ("degraded", [flag, *WRITTEN])


async def test_it_is_a_model_for_openais_client(running: Running) -> None:
    async with AsyncOpenAI(base_url=f"{running.url}/v1", api_key="none", http_client=running.http) as client:
        assert {model.id for model in (await client.models.list()).data} == {"chat", "ops", "boss"}
        messages: Any = [{"role": "user", "content": 'call:look {"key": "a"}'}]
        whole = await client.chat.completions.create(model="ops", messages=messages)
        assert whole.choices[0].finish_reason == "stop"
        assert whole.choices[0].message.content
        assert whole.usage is not None
        assert whole.usage.total_tokens > 0
        stream = await client.chat.completions.create(model="ops", messages=messages, stream=True)
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
        assert "".join(pieces)


async def test_an_agent_asks_another(running: Running, api: Any) -> None:
    order = json.dumps({"question": "call:look"})
    final = (await running.answer(f"call:ask_ops {order}", agent="boss")).json()
    assert final["flags"] == WRITTEN
    assert final["usage"]["num_model_calls"] == 4
    assert len(api.requests) == 1


async def test_an_agent_that_is_asked_by_another_cannot_wait_for_a_person(running: Running, api: Any) -> None:
    order = json.dumps({"question": "call:delete"})
    final = (await running.answer(f"call:ask_ops {order}", agent="boss")).json()
    assert final["flags"] == WRITTEN
    assert api.requests == []


async def test_a_person_approves(running: Running, api: Any) -> None:
    user = {"x-manta-user": "ann"}
    paused = (await running.answer('call:delete {"key": "a"}', user)).json()
    assert paused["outcome"] == "paused"
    assert api.requests == []
    approval = paused["approval"]
    assert approval["calls"][0]["arguments"] == {"key": "a"}
    assert (await running.decide(approval, {"x-manta-user": "eve"})).status_code == 404
    assert (await running.decide(approval, user | {"x-manta-tenant": "other"})).status_code == 404
    assert (await running.decide(approval | {"token": "guess"}, user)).status_code == 403
    assert api.requests == []
    answered = await running.decide(approval, user, stream=True)
    events = events_of(answered.text)
    assert [name for name, _ in events][:3] == ["run.started", "tool.started", "tool.ended"]
    assert events[-1][1]["flags"] == WRITTEN
    assert [one["method"] for one in api.requests] == ["DELETE"]
    assert (await running.decide(approval, user)).status_code == 404
    assert len(api.requests) == 1


async def test_a_chat_completion_says_what_waits(running: Running, api: Any) -> None:
    body = {"model": "ops", "messages": [{"role": "user", "content": "call:delete"}]}
    document = (await running.http.post("/v1/chat/completions", json=body)).json()
    assert document["choices"][0]["message"]["content"] == "I need a person's approval before I go on."
    assert document["manta"]["outcome"] == "paused"
    refused = await running.decide(document["manta"]["approval"], approve=False, reason="No.")
    assert refused.json()["flags"] == WRITTEN
    assert api.requests == []


@pytest.mark.parametrize(
    ("change", "status"),
    [({"agent": "nobody"}, 404), ({"agent": "boss"}, 404), ({"approve": "yes"}, 400), ({"token": ""}, 400)],
)
async def test_a_decision_that_makes_no_sense_is_refused(
    running: Running, change: dict[str, Any], status: int
) -> None:
    approval = {"run_id": "run_1", "agent": "ops", "token": "x"}
    response = await running.decide(approval, **change)
    assert response.status_code == status
    assert response.json()["error"]["message"]


@pytest.mark.parametrize("stage", ["tool", "model"])
async def test_a_client_that_leaves_stops_the_tool_and_the_model(
    running: Running, api: Any, stage: str
) -> None:
    body = {"agent": "ops", "question": "call:hang" if stage == "tool" else "just talk", "stream": True}
    before = len(asyncio.all_tasks())
    if stage == "model":
        running.generator._config = running.generator._config.model_copy(update={"tpot_ms": 10_000.0})
    async with running.http.stream("POST", "/v1/agent/answers", json=body) as response:
        lines = response.aiter_lines()  # dropping it would close the response
        assert await anext(lines) == "event: run.started"
        await until(lambda: (api.num_running if stage == "tool" else running.generator.num_running) == 1)
    await until(lambda: api.num_running == 0 and running.generator.num_running == 0)
    # Tasks of the server's connections come and go; none of a run stays.
    await until(lambda: len(asyncio.all_tasks()) <= before)


async def test_a_deadline_is_an_answer_with_what_there_was(running: Running, api: Any) -> None:
    response = await running.answer("call:hang", {"x-request-timeout-s": "1"})
    assert response.status_code == 200
    assert (response.json()["outcome"], response.json()["flags"]) == (
        "abstained",
        ["deadline"],
    )
    await until(lambda: api.num_running == 0)


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not is_so():  # noqa: ASYNC110 (what is waited for tells nobody when it happens)
            await asyncio.sleep(0.005)
