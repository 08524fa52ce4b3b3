"""The contract of web search, as the agent sees it. Knows nothing of providers, MCP or HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from serve_app.messages import RequestContext

MAX_QUERY_CHARS = (
    400  # Tavily refuses longer ones (docs.tavily.com, 2026-11); other engines read the first words
)


class Topic(StrEnum):
    """What kind of pages is searched."""

    GENERAL = "general"
    NEWS = "news"


class TimeRange(StrEnum):
    """How far back a page may have been published."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


@dataclass(frozen=True, slots=True)
class WebQuery:
    """One search of the web."""

    text: str
    topic: Topic = Topic.GENERAL
    max_results: int = 5
    time_range: TimeRange | None = None  # None: any time
    # In lower case, as in "example.org", which stands for what is below it, too.
    domains: tuple[str, ...] = ()  # only pages of these; none: of all
    without_domains: tuple[str, ...] = ()  # no pages of these


@dataclass(frozen=True, slots=True)
class WebResult:
    """A page that was found. Every field is untrusted text."""

    url: str
    title: str
    text: str  # the provider's extract, or the page's beginning
    published: str | None = None  # ISO 8601


class WebSearch(Protocol):
    """Searches the web."""

    async def search(self, query: WebQuery, context: RequestContext) -> tuple[WebResult, ...]:
        """At most `max_results` pages, best first; none if nothing fits.

        A page whose time of publishing nobody knows is not kept out by `time_range`.

        Raises:
            Overloaded: the provider's limit is reached.
            Unavailable: the provider or the way to it is down, the breaker is open, or there is no key.
            EngineFailed: it answered with something that is no result, or refused the key or the query.
            DeadlineExceeded: the time was over.
        """
        ...


class OpenWebSearch(WebSearch, Protocol):
    """A web search that holds connections."""

    async def close(self) -> None:
        """Give them up."""
        ...
