"""POST /v1/rerank, and a search with all its knobs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx
import pytest

from configs.schema import IngressConfig, MockReranker
from serve_app.engines.rerank.edge import RerankEdge
from serve_app.engines.rerank.mock import MockPairScorer
from serve_app.ingress.app import create_app
from serve_app.ingress.services import Services

BODY: dict[str, Any] = {"model": "rank", "query": "reef fish", "documents": ["a whale", "a reef with fish"]}


@pytest.fixture
def services(services: Services) -> Services:
    ranker = RerankEdge(MockPairScorer(MockReranker(name="rank", engine="mock")))
    return replace(
        services,
        models={**services.models, "rank": ranker},
        cards={**services.cards, "rank": ranker.card()},
    )


async def test_texts_are_ordered(client: httpx.AsyncClient) -> None:
    answer = (await client.post("/v1/rerank", json=BODY)).json()
    assert [(one["index"], one["relevance_score"]) for one in answer["results"]] == [(1, 1.0), (0, 0.0)]
    assert answer["model"] == "rank"


async def test_it_is_listed(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/models/rank")).json()["endpoints"] == ["/v1/rerank"]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"documents": []}, "documents"),
        ({"documents": ["x"] * 17}, "documents"),
        ({"query": ""}, "query"),
        ({"model": "mock"}, "model"),
        ({"top_n": -1}, "top_n"),
    ],
)
async def test_what_is_wrong_is_named(client: httpx.AsyncClient, change: dict[str, Any], param: str) -> None:
    answer = await client.post("/v1/rerank", json=BODY | change)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


async def test_a_reranker_does_not_chat(client: httpx.AsyncClient) -> None:
    body = {"model": "rank", "messages": [{"role": "user", "content": "Hi"}]}
    answer = await client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 400
    assert "/v1/rerank" in answer.json()["error"]["message"]


async def test_a_searchs_knobs_arrive(
    services: Services, config: IngressConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    search = services.knowledge.search

    async def seen(query: Any, context: Any) -> Any:
        asked.append(query)
        return await search(query, context)

    monkeypatch.setattr(services.knowledge, "search", seen)
    transport = httpx.ASGITransport(app=create_app(config, services))
    async with httpx.AsyncClient(transport=transport, base_url="http://manta") as client:
        body = {"query": "q", "weights": {"lexical": 2, "dense": 0.5}, "rerank": False, "explain": True}
        told = (await client.post("/v1/knowledge/search", json=body)).json()
        assert told["stages_ms"] == {}
        assert (asked[0].lexical_weight, asked[0].dense_weight) == (2, 0.5)
        assert (asked[0].rerank, asked[0].explain) == (False, True)
        wrong = await client.post("/v1/knowledge/search", json={"query": "q", "weights": {"dense": -1}})
        assert wrong.json()["error"]["param"] == "weights.dense"
