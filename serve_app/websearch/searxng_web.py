"""A SearXNG instance as a WebSearch. https://docs.searxng.org/dev/search_api.html, 2026-11.

It has no parameter for domains and none for how many results. With one domain wanted the query says `site:`, which
most engines know; the rest is left to the screening of what comes back.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ValidationError

from serve_app.errors import EngineFailed, Unavailable
from serve_app.grounding.untrusted import one_line
from serve_app.messages import RequestContext
from serve_app.websearch.base import WebQuery, WebResult
from serve_app.websearch.provider import Provider

_MAX_REASON_CHARS = 200


class _Page(BaseModel):
    url: str
    title: str | None = None
    content: str | None = None
    publishedDate: str | None = None  # noqa: N815 (its name)


class _Answer(BaseModel):
    results: list[_Page]
    unresponsive_engines: list[Any] = []  # [engine, why]


class SearxngWeb:
    """Pages with the extracts that the engines behind it show."""

    def __init__(
        self, provider: Provider, engines: tuple[str, ...] = (), language: str | None = None
    ) -> None:
        self._provider = provider
        self._engines = engines
        self._language = language

    async def search(self, query: WebQuery, context: RequestContext) -> tuple[WebResult, ...]:
        document = await self._provider.get("/search", self._params(query), context.deadline)
        try:
            answer = _Answer.model_validate(document)
        except ValidationError as exc:
            raise EngineFailed("SearXNG answered with something that is no list of results") from exc
        if not answer.results and answer.unresponsive_engines:
            # That no engine answered does not mean that there is nothing to find.
            reasons = one_line(str(answer.unresponsive_engines), _MAX_REASON_CHARS)
            raise Unavailable(f"none of SearXNG's engines answered: {reasons}")
        return tuple(
            WebResult(page.url, page.title or "", page.content or "", page.publishedDate)
            for page in answer.results
        )

    async def close(self) -> None:
        await self._provider.close()

    def _params(self, query: WebQuery) -> dict[str, str]:
        only = f" site:{query.domains[0]}" if len(query.domains) == 1 else ""
        params = {"q": query.text + only, "format": "json", "categories": str(query.topic)}
        if query.time_range is not None:
            params["time_range"] = str(query.time_range)
        if self._engines:
            params["engines"] = ",".join(self._engines)
        if self._language:
            params["language"] = self._language
        return params
