"""Tavily's search API as a WebSearch. https://docs.tavily.com/documentation/api-reference/endpoint/search, 2026-11."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ValidationError

from serve_app.errors import EngineFailed
from serve_app.messages import RequestContext
from serve_app.websearch.base import WebQuery, WebResult
from serve_app.websearch.provider import Provider

_MAX_RESULTS = 20


class _Page(BaseModel):
    url: str
    title: str | None = None
    content: str | None = None
    published_date: str | None = None  # of news, as mail writes it


class _Answer(BaseModel):
    results: list[_Page]


class TavilyWeb:
    """Pages with the extracts that Tavily makes for models."""

    def __init__(self, provider: Provider, depth: str = "basic") -> None:
        self._provider = provider
        self._depth = depth

    async def search(self, query: WebQuery, context: RequestContext) -> tuple[WebResult, ...]:
        document = await self._provider.post("/search", self._body(query), context.deadline)
        try:
            answer = _Answer.model_validate(document)
        except ValidationError as exc:
            raise EngineFailed("Tavily answered with something that is no list of results") from exc
        return tuple(
            WebResult(page.url, page.title or "", page.content or "", page.published_date)
            for page in answer.results
        )

    async def close(self) -> None:
        await self._provider.close()

    def _body(self, query: WebQuery) -> dict[str, Any]:
        body: dict[str, Any] = {
            "query": query.text,
            "topic": str(query.topic),
            "search_depth": self._depth,
            "max_results": min(query.max_results, _MAX_RESULTS),
            "include_answer": False,
            "include_raw_content": False,
            "include_images": False,
        }
        if query.time_range is not None:
            body["time_range"] = str(query.time_range)
        if query.domains:
            body["include_domains"] = list(query.domains)
        if query.without_domains:
            body["exclude_domains"] = list(query.without_domains)
        return body
