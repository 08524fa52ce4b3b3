"""A web of a few given pages, for tests, demonstrations and benchmarks without a network."""

from __future__ import annotations

from collections.abc import Sequence

from serve_app.grounding.terms import terms
from serve_app.messages import RequestContext
from serve_app.websearch.base import WebQuery, WebResult


class FixtureWeb:
    """Finds pages by the words that they share with the query; those that share none are not found."""

    def __init__(self, pages: Sequence[WebResult]) -> None:
        self._pages = tuple((frozenset(terms(f"{page.title} {page.text}")), page) for page in pages)

    async def search(self, query: WebQuery, context: RequestContext) -> tuple[WebResult, ...]:
        context.deadline.check("web search")
        wanted = frozenset(terms(query.text))
        ranked = sorted(self._pages, key=lambda page: -len(wanted & page[0]))
        return tuple(page for words, page in ranked if wanted & words)[: query.max_results]
