"""The application in process: mock engines behind the real edges, and fakes of the agent and the base."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from configs.schema import IngressConfig, MockEmbedder, MockModel
from serve_app.engines.embedding_edge import EmbeddingEdge
from serve_app.engines.mock import MockGenerator, MockTextEmbedder
from serve_app.engines.text_edge import TextEdge
from serve_app.errors import BadRequest
from serve_app.ingress.app import create_app
from serve_app.ingress.services import Services
from serve_app.messages import (
    AgentEvent,
    AgentQuestion,
    DocumentInfo,
    DocumentInput,
    DocumentOutcome,
    DocumentStatus,
    Endpoint,
    KnowledgeStatus,
    ModelCard,
    Passage,
    RequestContext,
    SearchQuery,
    SearchResult,
    SyncPlan,
)


class FakeAgent:
    """Answers with a fixed run; `script` can be replaced, and a None in it waits for `go`."""

    def __init__(self) -> None:
        self.questions: list[AgentQuestion] = []
        self.contexts: list[RequestContext] = []
        self.num_running = 0
        self.go = asyncio.Event()
        final = {
            "text": "Mantas glide. [1]",
            "outcome": "answered",
            "citations": [{"n": 1, "path": "rays.md", "quote": "Mantas glide."}],
            "flags": ["lexical_only"],
            "notes": [],
            "usage": {"prompt_tokens": 7, "completion_tokens": 4, "total_tokens": 11},
            "model": "mock",
            "run": [{"state": "retrieve", "ms": 3}],
        }
        self.script: list[AgentEvent | Exception | None] = [
            AgentEvent("run.started", {"run_id": "r1", "agent": "manta", "model": "mock"}),
            AgentEvent("answer.delta", {"text": "Mantas "}),
            AgentEvent("answer.final", final),
        ]

    async def answer(self, question: AgentQuestion, context: RequestContext) -> AsyncIterator[AgentEvent]:
        if not question.question.strip():
            raise BadRequest("the question is empty", "question")
        self.questions.append(question)
        self.contexts.append(context)
        self.num_running += 1
        try:
            for event in self.script:
                if event is None:
                    await self.go.wait()
                elif isinstance(event, Exception):
                    raise event
                else:
                    yield event
        finally:
            self.num_running -= 1


class FakeKnowledge:
    """Documents by tenant and (source, path), found by the words in them."""

    def __init__(self) -> None:
        self._documents: dict[str, dict[str, tuple[str, DocumentInput]]] = {}  # tenant -> id -> ...

    async def search(self, query: SearchQuery, context: RequestContext) -> SearchResult:
        found = [
            Passage(f"{one}-0", one, source, doc.path, doc.path, (), doc.content.decode(), 0, score=1.0)
            for one, (source, doc) in self._of(context).items()
            if query.text.lower() in doc.content.decode().lower()
        ]
        return SearchResult(tuple(found[: query.k]), took_s=0.001)

    async def plan_sync(
        self, source: str, sha256_by_path: Mapping[str, str], context: RequestContext
    ) -> SyncPlan:
        known = {doc.path: hashlib.sha256(doc.content).hexdigest() for _, doc in self._of(context).values()}
        upload = tuple(path for path, sha in sha256_by_path.items() if known.get(path) != sha)
        gone = tuple(one for one, (_, doc) in self._of(context).items() if doc.path not in sha256_by_path)
        return SyncPlan(upload, len(sha256_by_path) - len(upload), gone)

    async def put_documents(
        self, source: str, documents: Sequence[DocumentInput], context: RequestContext
    ) -> tuple[DocumentOutcome, ...]:
        outcomes = []
        for document in documents:
            if b"\x00" in document.content:
                outcomes.append(DocumentOutcome(document.path, DocumentStatus.FAILED, reason="is no text"))
                continue
            one = hashlib.sha256(f"{source}:{document.path}".encode()).hexdigest()[:16]
            self._of(context)[one] = (source, document)
            outcomes.append(DocumentOutcome(document.path, DocumentStatus.ADDED, one, 1, 1))
        return tuple(outcomes)

    async def delete_documents(self, document_ids: Sequence[str], context: RequestContext) -> int:
        return sum(self._of(context).pop(one, None) is not None for one in document_ids)

    async def list_documents(
        self, context: RequestContext, *, source: str | None = None, after: str = "", limit: int = 100
    ) -> tuple[DocumentInfo, ...]:
        found = [
            DocumentInfo(one, src, doc.path, doc.path, "text/plain", "", 1, len(doc.content), "2026-01-01")
            for one, (src, doc) in sorted(self._of(context).items())
            if one > after and source in (None, src)
        ]
        return tuple(found[:limit])

    async def status(self, context: RequestContext) -> KnowledgeStatus:
        num = len(self._of(context))
        return KnowledgeStatus(num, num, {}, num, "mock", "fake")

    def _of(self, context: RequestContext) -> dict[str, tuple[str, DocumentInput]]:
        return self._documents.setdefault(context.tenant, {})


class RawCall:
    """A request over bare ASGI, whose client can leave at any moment."""

    def __init__(
        self, app: FastAPI, path: str, body: bytes, headers: dict[str, str], *, is_whole: bool
    ) -> None:
        self.sent: list[dict[str, Any]] = []
        self._to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._news = asyncio.Event()
        self._to_app.put_nowait({"type": "http.request", "body": body, "more_body": not is_whole})
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "client": ("test", 1),
            "server": ("test", 80),
        }
        self._task = asyncio.create_task(app(scope, self._to_app.get, self._send))

    async def _send(self, message: Any) -> None:
        self.sent.append(message)
        self._news.set()

    async def wait_for(self, num_messages: int) -> None:
        async with asyncio.timeout(10):
            while len(self.sent) < num_messages:
                self._news.clear()
                await self._news.wait()

    async def leave(self) -> None:
        """The client goes; returns when the application is done with it."""
        self._to_app.put_nowait({"type": "http.disconnect"})
        await self.done()

    async def done(self) -> None:
        async with asyncio.timeout(10):
            await self._task

    async def cancel(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    @property
    def status(self) -> int:
        status: int = self.sent[0]["status"]
        return status

    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)


@pytest.fixture
def config() -> IngressConfig:
    return IngressConfig(max_body_bytes=64 * 1024, max_embedding_inputs=16)


@pytest.fixture
def generator() -> MockGenerator:
    return MockGenerator(
        MockModel(name="mock", engine="mock", ttft_ms=0, tpot_ms=0, num_output_tokens=5, context_tokens=512)
    )


@pytest.fixture
def agent() -> FakeAgent:
    return FakeAgent()


@pytest.fixture
def services(generator: MockGenerator, agent: FakeAgent) -> Services:
    embedder = EmbeddingEdge(MockTextEmbedder(MockEmbedder(name="embed", engine="mock", dim=16)))
    model = TextEdge(generator)

    async def read_metrics() -> bytes:
        return b"# HELP up\nup 1\n"

    return Services(
        models={"mock": model},
        embedders={"embed": embedder},
        agents={"manta": agent},
        knowledge=FakeKnowledge(),
        cards={
            "mock": model.card(),
            "embed": embedder.card(),
            "manta": ModelCard("manta", "agent", (Endpoint.CHAT,)),
        },
        left_out={"big": "its weights are not on this machine; run: manta models pull big"},
        probes={"mock": model.check_health, "embed": embedder.check_health},
        read_metrics=read_metrics,
    )


@pytest.fixture
def app(config: IngressConfig, services: Services) -> FastAPI:
    return create_app(config, services)


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://manta") as one:
        yield one


@pytest.fixture
async def raw_call(app: FastAPI) -> AsyncIterator[Callable[..., RawCall]]:
    calls: list[RawCall] = []

    def start(
        path: str, body: object, *, is_whole: bool = True, on: FastAPI | None = None, **headers: str
    ) -> RawCall:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        call = RawCall(on or app, path, raw, {"content-type": "application/json", **named}, is_whole=is_whole)
        calls.append(call)
        return call

    yield start
    for call in calls:
        await call.cancel()
