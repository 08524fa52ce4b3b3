"""The agents as an MCP tool, over the real routes, with the protocol's own client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client

from configs.schema import (
    AuditConfig,
    AuthenticationConfig,
    DoorConfig,
    GatewayConfig,
    IngressConfig,
    LimitsConfig,
    SecretRef,
)
from serve_app.errors import Overloaded
from serve_app.ingress.app import create_app
from serve_app.ingress.door.parts import open_door
from serve_app.ingress.routes.mcp_endpoint import counts_as
from serve_app.ingress.services import Services
from serve_app.messages import AgentEvent
from serve_app.tool_server.faults import ERROR_KEY

MODES = ["2026-07-28", "legacy"]
ASK = {"question": "Do mantas glide?"}


@asynccontextmanager
async def connected(app: FastAPI, mode: str = "2026-07-28", **headers: str) -> AsyncIterator[Client]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    transport = httpx2.ASGITransport(app=app)
    async with (
        httpx2.AsyncClient(transport=transport, base_url="http://manta", headers=named) as http,
        Client(streamable_http_client("http://manta/mcp", http_client=http), mode=mode, cache=None) as client,
    ):
        yield client


@pytest.mark.parametrize("mode", MODES)
async def test_a_question_gets_its_answer_with_sources_and_flags(app: FastAPI, agent: Any, mode: str) -> None:
    async with connected(app, mode, x_manta_tenant="acme", x_request_timeout_s="9") as client:
        (tool,) = (await client.list_tools()).tools
        result = await client.call_tool("ask", {**ASK, "k": 3, "filters": {"source": ["docs"]}})
    assert tool.name == "ask"
    assert "Agents: manta." in (tool.description or "")
    assert not result.is_error
    answer = result.structured_content
    assert answer is not None
    assert answer["text"] == "Mantas glide. [1]"
    assert answer["flags"] == ["lexical_only"]
    assert answer["citations"][0]["path"] == "rays.md"
    assert answer["usage"]["total_tokens"] == 11
    assert result.content[0].text.startswith("Mantas glide. [1]\n\n[1] rays.md")  # type: ignore[union-attr]
    (question,) = agent.questions
    assert (question.question, question.k, question.filters) == (ASK["question"], 3, {"source": ["docs"]})
    assert agent.contexts[0].tenant == "acme"
    assert agent.contexts[0].deadline.remaining_s() <= 9


async def test_the_stages_are_told_as_progress_and_nothing_that_was_found(app: FastAPI, agent: Any) -> None:
    agent.script[1:1] = [
        AgentEvent("route", {"route": "kb", "reason": "default"}),
        AgentEvent(
            "web", {"mode": "augment", "queries": ["<secret>"], "n": 2, "urls": ["https://x.example"]}
        ),
    ]
    told: list[str | None] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        told.append(message)

    async with connected(app) as client:
        await client.call_tool("ask", ASK, progress_callback=hear)
    assert told == ["run.started", "route: kb", "web: augment, 2 found"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "question: Field required"),
        ({"question": ""}, "question: String should have at least 1 character"),
        ({**ASK, "k": 0}, "k: Input should be greater"),
        ({**ASK, "agent": "nobody"}, "no agent 'nobody' is served; there are: manta"),
        ({"question": "   "}, "the question is empty"),
        ({**ASK, "temperature": 2}, "temperature: Extra inputs"),
    ],
)
async def test_a_call_that_cannot_be_served_says_why(
    app: FastAPI, arguments: dict[str, Any], says: str
) -> None:
    async with connected(app) as client:
        result = await client.call_tool("ask", arguments)
    assert result.is_error
    assert says in result.content[0].text  # type: ignore[union-attr]


async def test_an_agent_that_fails_is_a_result_with_its_code(app: FastAPI, agent: Any) -> None:
    agent.script[1:] = [Overloaded("all replicas are busy", 2.0)]
    async with connected(app) as client:
        result = await client.call_tool("ask", ASK)
    assert result.is_error
    assert result.meta is not None
    assert result.meta[ERROR_KEY] == {"code": "overloaded", "retry_after_s": 2.0}


async def test_the_requests_own_deadline_ends_the_run(app: FastAPI, agent: Any) -> None:
    agent.script[1:] = [None]
    async with connected(app, x_request_timeout_s="0.05") as client:
        result = await client.call_tool("ask", ASK)
    assert result.is_error
    assert result.meta is not None
    assert result.meta[ERROR_KEY]["code"] == "deadline_exceeded"
    assert agent.num_running == 0


def call_message(**params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}


@pytest.mark.parametrize(
    "headers",
    [
        {"mcp_protocol_version": "2025-06-18", "accept": "application/json, text/event-stream"},
        {
            "mcp_protocol_version": "2025-06-18",
            "accept": "application/json, text/event-stream",
            "with": "progress",
        },
    ],
)
async def test_a_client_that_leaves_ends_its_run_also_in_old_versions(
    agent: Any, raw_call: Callable[..., Any], headers: dict[str, str]
) -> None:
    before = asyncio.all_tasks()
    agent.script[1:] = [None]
    meta = {"_meta": {"progressToken": 1}} if headers.pop("with", "") else {}
    call = raw_call("/mcp", call_message(name="ask", arguments=ASK, **meta), **headers)
    async with asyncio.timeout(60):
        while agent.num_running == 0:  # noqa: ASYNC110
            await asyncio.sleep(0)
    await call.leave()
    assert agent.num_running == 0
    left = {task for task in asyncio.all_tasks() - before if "_shutdown_watcher" not in repr(task)}
    assert not left


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"7", b"{", b"\xff", b'{"jsonrpc": "2.0"}', b'{"method": 3}']
)
async def test_what_is_no_message_is_refused(client: Any, content: bytes) -> None:
    answer = await client.post(
        "/mcp",
        content=content,
        headers={"content-type": "application/json", "accept": "application/json, text/event-stream"},
    )
    assert 400 <= answer.status_code < 500


async def test_nothing_but_post_is_taken(client: Any) -> None:
    assert (await client.get("/mcp")).status_code == 405
    assert (await client.delete("/mcp")).status_code == 405


async def test_a_page_of_another_machine_may_not_ask_an_open_server(client: Any, agent: Any) -> None:
    answer = await client.post(
        "/mcp", json=call_message(name="ask", arguments=ASK), headers={"origin": "https://e.example"}
    )
    assert answer.status_code == 403
    assert agent.questions == []


def test_a_call_counts_as_a_question_to_its_agent_and_all_else_as_a_request() -> None:
    assert counts_as(call_message(name="ask", arguments=ASK), "manta") == {"agent": "manta", **ASK}
    other = call_message(name="ask", arguments={**ASK, "agent": "other"})
    assert counts_as(other, "manta") == {"agent": "other", **ASK}
    assert counts_as({"method": "tools/list"}, "manta") == {}
    assert counts_as(call_message(name="other"), "manta") == {}
    assert counts_as({"method": "tools/call", "params": 3}, "manta") == {}
    assert counts_as(call_message(name="ask", arguments=7), "manta") == {"agent": "manta", "question": None}


@pytest.fixture
def guarded(
    config: IngressConfig, services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    monkeypatch.setenv("GW", "a long enough word")
    door = open_door(
        DoorConfig(
            authentication=AuthenticationConfig(gateway=GatewayConfig(secret=SecretRef(env="GW"))),
            tenant_limits=LimitsConfig(requests_per_min=60, burst_requests=60),
            counts_usage=True,
            audit=AuditConfig(),
        ),
        config,
        tmp_path,
        services.cards,
        "manta",
    )
    return create_app(config, services, door=door), door, tmp_path


async def test_the_door_is_the_same_as_everywhere(guarded: Any, agent: Any) -> None:
    app, door, folder = guarded
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://manta") as http:
        refused = await http.post("/mcp", json=call_message(name="ask", arguments=ASK))
    assert refused.status_code == 401
    assert agent.questions == []
    async with connected(app, x_manta_gateway="a long enough word", x_manta_tenant="acme") as client:
        result = await client.call_tool("ask", ASK)
        assert result.structured_content is not None
        await client.list_tools()
    await door.close()
    lines = [json.loads(line) for line in (folder / "audit" / "ingress-0.jsonl").read_text().splitlines()]
    asked = [line for line in lines if line.get("model") == "manta"]
    assert [(line["tenant"], line["num_prompt_tokens"], line["num_answer_tokens"]) for line in asked] == [
        ("acme", 7, 4)
    ]
