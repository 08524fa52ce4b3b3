"""The reranker's part in a trace: a span of its own below the search that asks it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from configs.schema import (
    KnowledgeConfig,
    MemoryStoreConfig,
    MockEmbedder,
    MockReranker,
    RerankConfig,
    RetrievalConfig,
    TracingConfig,
)
from serve_app.engines.embedding_edge import EmbeddingEdge
from serve_app.engines.mock import MockTextEmbedder
from serve_app.engines.rerank.edge import RerankEdge
from serve_app.engines.rerank.mock import MockPairScorer
from serve_app.errors import EngineFailed
from serve_app.messages import Deadline, DocumentInput, Endpoint, RequestContext, Scores, SearchQuery
from serve_app.retrieval.knowledge import open_knowledge
from serve_app.telemetry.metrics import count_nothing
from serve_app.telemetry.traced import trace_embedder, trace_reranker, trace_search
from serve_app.telemetry.tracing import Tracing

CANARY = "xylophone"
QUESTION = f"Where does the {CANARY} glide?"


class Scorer(MockPairScorer):
    """As the mock, but for what it is told to do wrong."""

    def __init__(self, fault: str) -> None:
        super().__init__(MockReranker(name="rank", engine="mock"))
        self._fault = fault

    async def rerank(self, query: str, passages: Sequence[str], context: RequestContext) -> Scores:
        if self._fault == "late":
            await asyncio.sleep(3600)
        if self._fault == "down":
            raise EngineFailed(f"broken at {passages[0]}")
        scores = await super().rerank(query, passages, context)
        return Scores(scores.values) if self._fault == "does not count" else scores


async def searched(receiver: Any, fault: str = "") -> Any:
    """A search of one document, and one request to the reranker itself; what was received."""
    exporter = {"kind": "otlp", "endpoint": f"{receiver.url}/v1/traces"}
    tracing = Tracing(TracingConfig(exporters=(exporter,), export_every_s=0.05), "test", count_nothing)
    tracer = tracing.tracer
    embedder = EmbeddingEdge(MockTextEmbedder(MockEmbedder(name="embed", engine="mock", dim=32)))
    reranker = trace_reranker(RerankEdge(Scorer(fault)), tracer)
    rerank = RerankConfig(timeout_s=0.05 if fault == "late" else 60.0)
    config = KnowledgeConfig(store=MemoryStoreConfig(kind="memory"), retrieval=RetrievalConfig(rerank=rerank))
    knowledge = open_knowledge(config, Path(), trace_embedder(embedder, tracer), reranker)
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0"
    quiet = RequestContext("fill", "acme", Deadline.after(60), traceparent=f"{parent}0")
    text = f"# Reefs\n\nThe {CANARY} glides over the reef.".encode()
    await knowledge.put_documents("docs", [DocumentInput("reef.md", text)], quiet)
    context = RequestContext("ask", "acme", Deadline.after(60), traceparent=f"{parent}1")
    found = await trace_search(knowledge, tracer).search(SearchQuery(QUESTION, 3), context)
    assert (found.flags == ("rerank_skipped",)) == (fault in ("late", "down"))
    await tracing.close()
    await knowledge.close()
    return receiver


async def test_it_is_a_span_below_the_search(receiver: Any) -> None:
    got = await searched(receiver)
    assert got.tree() == ("retrieval knowledge", [("embeddings embed", []), ("rerank rank", [])])
    told = got.one("rerank rank").attributes
    assert told["gen_ai.operation.name"] == "rerank"
    assert told["gen_ai.request.model"] == "rank"
    assert told["manta.num_texts"] == 1
    assert told["gen_ai.usage.input_tokens"] > 0
    assert not any(CANARY.encode() in body for body in got.bodies)


async def test_tokens_that_nobody_counted_are_absent(receiver: Any) -> None:
    told = (await searched(receiver, "does not count")).one("rerank rank").attributes
    assert "gen_ai.usage.input_tokens" not in told


@pytest.mark.parametrize(("fault", "attribute"), [("down", "error.type"), ("late", "manta.cancelled")])
async def test_one_that_fails_says_so_and_quotes_nothing(receiver: Any, fault: str, attribute: str) -> None:
    got = await searched(receiver, fault)
    assert attribute in got.one("rerank rank").attributes
    assert got.one("retrieval knowledge").status != 2
    assert not any(CANARY.encode() in body for body in got.bodies)


async def test_a_clients_own_request_is_a_span_too(receiver: Any) -> None:
    exporter = {"kind": "otlp", "endpoint": f"{receiver.url}/v1/traces"}
    tracing = Tracing(TracingConfig(exporters=(exporter,), export_every_s=0.05), "test", count_nothing)
    reranker = trace_reranker(RerankEdge(Scorer("")), tracing.tracer)
    body = {"model": "rank", "query": QUESTION, "documents": [f"The {CANARY}.", "Nothing."]}
    document = await reranker.respond(Endpoint.RERANK, body, RequestContext("r", "acme", Deadline.after(60)))
    assert b"relevance_score" in document
    await tracing.close()
    assert receiver.tree() == ("rerank rank", [])
    assert receiver.one("rerank rank").attributes["gen_ai.usage.input_tokens"] > 0
    assert not any(CANARY.encode() in raw for raw in receiver.bodies)
