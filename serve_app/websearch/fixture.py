"""A web of a few given pages, for tests, demonstrations and benchmarks without a network."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from serve_app.errors import ConfigError
from serve_app.grounding.terms import terms
from serve_app.messages import RequestContext
from serve_app.websearch.base import WebQuery, WebResult
from serve_app.websearch.screening import now_utc, screened

_PAGES = TypeAdapter(list[WebResult])


class FixtureWeb:
    """Finds pages by the words that they share with the query; those that share none are not found."""

    def __init__(self, pages: Sequence[WebResult], now: Callable[[], datetime] = now_utc) -> None:
        self._pages = tuple((frozenset(terms(f"{page.title} {page.text}")), page) for page in pages)
        self._now = now

    @classmethod
    def from_file(cls, path: Path) -> FixtureWeb:
        """The pages of a JSON file: a list of `{url, title, text, published?}`.

        Raises:
            ConfigError: it is not there, or is no such list.
        """
        try:
            return cls(_PAGES.validate_python(json.loads(path.read_text(encoding="utf-8"))))
        except (OSError, ValueError, ValidationError) as exc:
            raise ConfigError(f"{path} is no list of pages: {' '.join(str(exc).split()):.300}") from exc

    async def search(self, query: WebQuery, context: RequestContext) -> tuple[WebResult, ...]:
        context.deadline.check("web search")
        wanted = frozenset(terms(query.text))
        ranked = sorted(self._pages, key=lambda page: -len(wanted & page[0]))
        found = [page for words, page in ranked if wanted & words]
        return screened(found, query, max_page_chars=1_000_000, now=self._now())

    async def close(self) -> None:
        """There is nothing to give up."""
