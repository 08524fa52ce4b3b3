"""POST /v1/vector_stores/{id}/search: a source of the knowledge base as OpenAI's vector store.

Shape: https://platform.openai.com/docs/api-reference/vector-stores/search, read 2026-11. The id is a
source's name. `eq`, `in`, ranges and `and` are understood; `ne`, `nin` and `or` are refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from serve_app.errors import BadRequest
from serve_app.ingress.answers.answers import json_document, takes
from serve_app.ingress.requests.call import CallReader
from serve_app.messages import JsonObject, Passage, SearchQuery, SearchResult
from serve_app.openai_api.requests import parse
from serve_app.retrieval.base import KnowledgeClient

Query = Annotated[str, StringConstraints(min_length=1, max_length=20_000)]

_RANGES = ("gt", "gte", "lt", "lte")
_FIELDS = ("path", "media_type", "document_id", "page", "ordinal")


class RankingOptions(BaseModel):
    """How what was found is ranked."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    ranker: str | None = None  # "none": without the reranker
    score_threshold: Annotated[float, Field(ge=0, le=1)] = 0.0


class VectorStoreSearch(BaseModel):
    """The body."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    query: Query | Annotated[list[Query], Field(min_length=1, max_length=16)]
    max_num_results: Annotated[int, Field(ge=1, le=50)] = 10
    filters: dict[str, Any] | None = None
    ranking_options: RankingOptions | None = None
    rewrite_query: Literal[False] = False  # what is searched for is what was asked

    def queries(self) -> list[str]:
        return [self.query] if isinstance(self.query, str) else list(self.query)


def router(reader: CallReader, knowledge: KnowledgeClient) -> APIRouter:
    routes = APIRouter(tags=["knowledge"])

    @routes.post("/v1/vector_stores/{vector_store_id}/search", openapi_extra=takes(VectorStoreSearch))
    async def search(request: Request, vector_store_id: str) -> Response:
        """The passages of one source that fit best, in OpenAI's shape."""
        call = await reader.read(request)
        wanted = parse(VectorStoreSearch, call.body)
        options = wanted.ranking_options or RankingOptions()
        query = SearchQuery(
            text=" ".join(wanted.queries()),
            k=wanted.max_num_results,
            filters={**_conditions(wanted.filters or {}), "source": vector_store_id},
            rerank=False if options.ranker == "none" else None,
        )
        found = await call.run("knowledge base", knowledge.search(query, call.context))
        return json_document(_page(wanted, found, options.score_threshold))

    return routes


def _page(wanted: VectorStoreSearch, found: SearchResult, threshold: float) -> JsonObject:
    rows = [_row(passage) for passage in found.passages]
    return {
        "object": "vector_store.search_results.page",
        "search_query": wanted.queries(),
        "data": [row for row in rows if row["score"] >= threshold],
        "has_more": False,
        "next_page": None,
    }


def _row(passage: Passage) -> JsonObject:
    # OpenAI's score is a relevance from 0 to 1. Without a reranker or a cosine there is only the ranking's own.
    relevance = passage.cosine if passage.rerank is None else passage.rerank
    return {
        "file_id": passage.document_id,
        "filename": passage.path,
        "score": passage.score if relevance is None else max(0.0, min(1.0, relevance)),
        "attributes": dict(passage.metadata),
        "content": [{"type": "text", "text": passage.text}],
    }


def _conditions(given: Mapping[str, Any]) -> dict[str, Any]:
    """OpenAI's filter as ours."""
    kind = given.get("type")
    if kind == "and":
        joined: dict[str, Any] = {}
        for one in given.get("filters") or ():
            for field, condition in _conditions(one).items():
                joined[field] = _both(field, joined.get(field), condition)
        return joined
    key, value = given.get("key"), given.get("value")
    if not isinstance(key, str) or not key:
        raise BadRequest("filters: a comparison needs a key", "filters")
    field = key if key in _FIELDS else f"metadata.{key}"
    if kind == "eq":
        return {field: value if isinstance(value, str) else {"gte": value, "lte": value}}
    if kind == "in" and isinstance(value, list):
        return {field: value}
    if kind in _RANGES:
        return {field: {kind: value}}
    raise BadRequest(
        f"filters: no comparison {kind!r} is known here; there are eq, in, gt, gte, lt, lte and and",
        "filters",
    )


def _both(field: str, one: Any, other: Any) -> Any:
    """Two conditions of one field: the two ends of a range."""
    if one is None:
        return other
    if isinstance(one, dict) and isinstance(other, dict) and not one.keys() & other.keys():
        return one | other
    raise BadRequest(f"filters: two conditions for {field!r} that cannot be joined", "filters")
