"""Declared agents on a real Ray: their own deployments, over handles, with pauses that outlive a replica."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

WRITTEN = ["cut"]  # a mock model always writes as much as it may
NOTE = "The archive in Porto opens at nine. It closes at noon."


@pytest.fixture(scope="module")
def http(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=url, timeout=60, trust_env=False, headers={"x-manta-tenant": "agents"}
    ) as client:
        document = {"path": "note.md", "text": NOTE}
        taken = client.post("/v1/knowledge/documents", json={"source": "notes", "documents": [document]})
        assert taken.status_code == 200
        yield client


def ask(http: httpx.Client, agent: str, question: str, **more: Any) -> dict[str, Any]:
    response = http.post("/v1/agent/answers", json={"agent": agent, "question": question, **more})
    assert response.status_code == 200, response.text
    document: dict[str, Any] = response.json()
    return document


def order(tool: str, **arguments: str) -> str:
    return f"call:{tool} {json.dumps(arguments)}"


def test_an_agent_searches_the_documents_of_whoever_asks(http: httpx.Client) -> None:
    final = ask(http, "clerk", order("docs", query="When does the archive open?"))
    assert [one["state"] for one in final["run"]] == ["model", "tool:docs", "model"]
    assert (final["flags"], final["usage"]["num_model_calls"]) == (WRITTEN, 2)


def test_it_is_a_model(http: httpx.Client) -> None:
    messages = [{"role": "user", "content": order("docs", query="Porto")}]
    body = {"model": "clerk", "messages": messages, "stream": True}
    with http.stream("POST", "/v1/chat/completions", json=body) as response:
        lines = [line for line in response.iter_lines() if line.startswith("data: ")]
    assert lines[-1] == "data: [DONE]"
    assert json.loads(lines[-2].removeprefix("data: "))["manta"]["flags"] == WRITTEN


def test_an_agent_asks_another(http: httpx.Client) -> None:
    inner = order("docs", query="Porto")
    final = ask(http, "chief", order("ask_clerk", question=inner))
    assert (final["flags"], final["usage"]["num_model_calls"]) == (WRITTEN, 4)


def test_a_task_of_the_pipeline_goes_to_its_agent(http: httpx.Client) -> None:
    final = ask(http, "manta", f"Please hand over: {order('ask_clerk', question='hello')}")
    assert "task" in [one["state"] for one in final["run"]]
    assert final["usage"]["num_model_calls"] == 3


def test_a_person_approves_on_whichever_replica(http: httpx.Client) -> None:
    for approves in (True, False, True, True):
        paused = ask(http, "clerk", order("archive", query="Porto"))
        assert paused["outcome"] == "paused"
        approval = paused["approval"]
        body = {"agent": "clerk", "token": approval["token"], "approve": approves}
        path = f"/v1/agents/runs/{approval['run_id']}/approval"
        final = http.post(path, json=body).json()
        assert final["flags"] == WRITTEN
        assert ("tool:archive" in [one["state"] for one in final["run"]]) is approves
        assert http.post(path, json=body).status_code == 404
