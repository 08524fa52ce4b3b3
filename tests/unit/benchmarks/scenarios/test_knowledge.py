from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.errors import BadTarget
from benchmarks.scenarios.knowledge import (
    DOCUMENTATION,
    QUESTIONS,
    client_for,
    ensure_documents,
    first_question,
    num_citations,
)
from benchmarks.target import Target

TARGET = Target("http://server", "m", api_key="k3y", headers=(("x-manta-tenant", "bench"),))


class Base:
    """A knowledge base behind HTTP."""

    def __init__(self, num_chunks: int = 0, failed: str | None = None) -> None:
        self.num_chunks = num_chunks
        self._failed = failed
        self.put: list[dict[str, Any]] = []
        self.headers: list[httpx.Headers] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.headers.append(request.headers)
        if request.url.path == "/v1/knowledge/status":
            return httpx.Response(200, json={"num_chunks": self.num_chunks})
        if request.url.path == "/v1/agent/answers":
            return httpx.Response(200, json={"citations": [{}, {}]})
        body = json.loads(request.content)
        self.put.append(body)
        self.num_chunks = 3 * len(body["documents"])
        outcomes = [{"status": "added"} for _ in body["documents"]]
        if self._failed is not None:
            outcomes[0] = {"status": "failed", "path": "a.md", "reason": self._failed}
        return httpx.Response(200, json={"data": outcomes})


def client(answer: Callable[[httpx.Request], httpx.Response]) -> httpx.Client:
    return client_for(TARGET, httpx.MockTransport(answer))


def test_an_empty_base_gets_the_documentation(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.md").write_text("# A")
    (tmp_path / "sub" / "b.md").write_text("# B")
    (tmp_path / "c.bin").write_bytes(b"\xff")
    base = Base()
    assert ensure_documents(client(base), tmp_path) == 6
    (body,) = base.put
    assert body == {
        "source": "docs",
        "documents": [{"path": "a.md", "text": "# A"}, {"path": "sub/b.md", "text": "# B"}],
    }


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    base = Base(num_chunks=7)
    assert ensure_documents(client(base), tmp_path) == 7
    assert not base.put


def test_requests_carry_the_key_and_the_tenant() -> None:
    base = Base()
    assert num_citations(client(base), "what?") == 2
    assert base.headers[0]["authorization"] == "Bearer k3y"
    assert base.headers[0]["x-manta-tenant"] == "bench"


def test_a_document_that_is_refused_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# A")
    with pytest.raises(BadTarget, match=r"does not take a\.md: the disk is full"):
        ensure_documents(client(Base(failed="the disk is full")), tmp_path)


def test_nothing_to_put_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadTarget, match="no documents"):
        ensure_documents(client(Base()), tmp_path)


def test_a_server_without_a_knowledge_base_is_told() -> None:
    with pytest.raises(BadTarget, match="GET /v1/knowledge/status answered 404: no such route"):
        ensure_documents(client(lambda _: httpx.Response(404, text="no such route")))


def test_a_server_that_is_not_there_is_told() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused")

    with pytest.raises(BadTarget, match="http://server/v1/knowledge/status: connection refused"):
        ensure_documents(client(refuse))


def test_the_questions_are_about_documentation_that_is_there() -> None:
    questions = QUESTIONS.read_text().splitlines()
    assert first_question() == questions[0]
    assert len(questions) == len(set(questions)) >= 20
    assert all(question.endswith("?") for question in questions)
    assert list(DOCUMENTATION.glob("*.md"))
