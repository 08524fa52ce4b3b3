"""What goes through real handles with a request: its trace, and the conversation that it belongs to."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
WHO = {"x-manta-tenant": "traced", "x-manta-user": "ann"}


@pytest.fixture(scope="module")
def http(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=120, trust_env=False, headers=WHO) as client:
        text = "# Reefs\n\nThe giant manta glides over the reef at night and feeds on plankton."
        body = {"source": "docs", "documents": [{"path": "reef.md", "text": text}]}
        assert client.post("/v1/knowledge/documents", json=body).status_code == 200
        yield client


def test_the_spans_of_one_answer_are_one_tree(http: httpx.Client, spans: Any) -> None:
    asked = {"question": "What does the giant manta feed on at night?", "session": "traced"}
    parent = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    answer = http.post("/v1/agent/answers", json=asked, headers=parent).json()
    assert answer["trace_id"] == TRACE
    names = {
        "POST /v1/agent/answers": "Ingress",
        "invoke_agent manta": "Agent",
        "retrieve": "Agent",
        "generate": "Agent",
        "retrieval knowledge": "KnowledgeBase",
        "embeddings embedder": "embedder",
        "chat extractive": "extractive",
    }
    give_up = time.monotonic() + 60
    while not names.keys() <= {span.name for span in spans.spans}:
        assert time.monotonic() < give_up, [span.name for span in spans.spans]
        time.sleep(0.1)
    found = {name: spans.one(name) for name in names}
    assert {span.trace_id for span in spans.spans} == {TRACE}
    assert {name: span.service["manta.deployment"] for name, span in found.items()} == names
    above = {
        "invoke_agent manta": "POST /v1/agent/answers",
        "retrieve": "invoke_agent manta",
        "retrieval knowledge": "retrieve",
        "embeddings embedder": "retrieval knowledge",
        "generate": "invoke_agent manta",
        "chat extractive": "generate",
    }
    for name, parent_name in above.items():
        assert found[name].parent_id == found[parent_name].span_id, name
    assert not any(b"plankton" in body for body in spans.bodies)


def test_a_session_goes_on_and_is_its_users_alone(http: httpx.Client) -> None:
    for question in ("What does the giant manta feed on?", "Where does the giant manta glide?"):
        asked = {"question": question, "session": "goes-on"}
        assert "session_unavailable" not in http.post("/v1/agent/answers", json=asked).json()["flags"]
    kept = http.get("/v1/sessions/goes-on").json()
    assert [message["role"] for message in kept["messages"]] == ["user", "assistant"] * 2
    assert http.get("/v1/sessions/goes-on", headers={"x-manta-user": "bob"}).status_code == 404
    assert http.delete("/v1/sessions/goes-on").json()["deleted"]
    assert http.get("/v1/sessions/goes-on").status_code == 404
