"""The contract of web search, as the agent sees it. Knows nothing of providers, MCP or HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from serve_app.messages import RequestContext


class Topic(StrEnum):
    """What kind of pages is searched."""

    GENERAL = "general"
    NEWS = "news"


@dataclass(frozen=True, slots=True)
class WebQuery:
    """One search of the web."""

    text: str
    topic: Topic = Topic.GENERAL
    max_results: int = 5


@dataclass(frozen=True, slots=True)
class WebResult:
    """A page that was found. Every field is untrusted text."""

    url: str
    title: str
    text: str  # the provider's extract, or the page's beginning
    published: str | None = None  # as the provider says, ISO 8601 where it does


class WebSearch(Protocol):
    """Searches the web."""

    async def search(self, query: WebQuery, context: RequestContext) -> tuple[WebResult, ...]:
        """At most `max_results` pages, best first; none if nothing fits.

        Raises:
            Overloaded: the provider's limit is reached, or the breaker is open.
            Unavailable: the provider or the way to it is down, or there is no key.
            EngineFailed: it answered with something that is no result.
            DeadlineExceeded: the time was over.
        """
        ...
