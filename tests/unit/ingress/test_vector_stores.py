"""POST /v1/vector_stores/{id}/search, as OpenAI's own client calls it."""

from __future__ import annotations

from typing import Any

import httpx
import openai
import pytest
from fastapi import FastAPI

from serve_app.ingress.services import Services
from serve_app.messages import Passage, RequestContext, SearchQuery, SearchResult


@pytest.fixture
def asked(services: Services, monkeypatch: pytest.MonkeyPatch) -> list[SearchQuery]:
    seen: list[SearchQuery] = []

    async def search(query: SearchQuery, context: RequestContext) -> SearchResult:
        seen.append(query)
        passage = Passage(
            "p", "d", "docs", "a.md", "A", (), "Mantas glide.", 0, metadata={"year": "2026"}, score=0.03
        )
        from dataclasses import replace

        return SearchResult((replace(passage, cosine=0.8, rerank=0.9), replace(passage, cosine=0.2), passage))

    monkeypatch.setattr(services.knowledge, "search", search)
    return seen


async def test_openais_client_reads_it(app: FastAPI, asked: list[SearchQuery]) -> None:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://manta") as http:
        client = openai.AsyncOpenAI(api_key="none", base_url="http://manta/v1", http_client=http)
        page = await client.vector_stores.search(
            "docs",
            query="mantas",
            max_num_results=3,
            filters={
                "type": "and",
                "filters": [
                    {"type": "gte", "key": "year", "value": 2020},
                    {"type": "lt", "key": "year", "value": 2027},
                    {"type": "eq", "key": "lang", "value": "en"},
                ],
            },
            ranking_options={"score_threshold": 0.1},
        )
    assert [(one.file_id, one.filename, one.score) for one in page.data] == [
        ("d", "a.md", 0.9),
        ("d", "a.md", 0.2),
    ]
    assert page.data[0].content[0].text == "Mantas glide."
    assert page.data[0].attributes == {"year": "2026"}
    assert (asked[0].text, asked[0].k) == ("mantas", 3)
    assert asked[0].filters == {
        "source": "docs",
        "metadata.year": {"gte": 2020, "lt": 2027},
        "metadata.lang": "en",
    }


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"query": ""}, "query"),
        ({"max_num_results": 51}, "max_num_results"),
        ({"rewrite_query": True}, "rewrite_query"),
        ({"filters": {"type": "ne", "key": "a", "value": "b"}}, "filters"),
        ({"filters": {"type": "eq", "value": "b"}}, "filters"),
        (
            {"filters": {"type": "and", "filters": [{"type": "eq", "key": "a", "value": v} for v in "bc"]}},
            "filters",
        ),
    ],
)
async def test_what_it_does_not_know_is_named(
    client: httpx.AsyncClient, asked: list[SearchQuery], change: dict[str, Any], param: str
) -> None:
    answer = await client.post("/v1/vector_stores/docs/search", json={"query": "q"} | change)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert asked == []
