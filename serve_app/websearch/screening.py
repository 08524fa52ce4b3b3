"""What of a search's results may be used: pages of the public web, of wanted domains, cleaned, cut and each once.

Whoever searched, a provider or a server in another process, is not trusted with any of this.
"""

from __future__ import annotations

import email.utils
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from configs.schema import WebSearchConfig
from serve_app.grounding.untrusted import clean, one_line
from serve_app.messages import RequestContext
from serve_app.websearch.base import MAX_QUERY_CHARS, OpenWebSearch, TimeRange, WebQuery, WebResult
from serve_app.websearch.domains import is_within, public_host

_MAX_TITLE_CHARS = 200
# With a day more: a provider's day is not ours, and some dates have no time zone.
_DAYS = {TimeRange.DAY: 2, TimeRange.WEEK: 8, TimeRange.MONTH: 32, TimeRange.YEAR: 367}


def now_utc() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a profile allows."""

    max_results: int = 20
    max_page_chars: int = 4000
    allowed_domains: tuple[str, ...] = ()  # none: all
    denied_domains: tuple[str, ...] = ()

    @classmethod
    def of(cls, config: WebSearchConfig) -> Limits:
        return cls(config.max_results, config.max_page_chars, config.allowed_domains, config.denied_domains)

    def bounded(self, query: WebQuery) -> WebQuery | None:
        """The query within these limits; None if nothing can fit it."""
        wanted, allowed = query.domains, self.allowed_domains
        if wanted and allowed:
            inside = [one for one in wanted if is_within(one, allowed)]
            inside += [one for one in allowed if is_within(one, wanted)]
            if not inside:
                return None
            domains = tuple(dict.fromkeys(inside))
        else:
            domains = wanted or allowed
        return replace(
            query,
            text=one_line(query.text, MAX_QUERY_CHARS),
            max_results=min(query.max_results, self.max_results),
            domains=domains,
            without_domains=tuple(dict.fromkeys((*query.without_domains, *self.denied_domains))),
        )


class ScreenedWeb:
    """A web search within limits, whose results are screened."""

    def __init__(self, inner: OpenWebSearch, limits: Limits, now: Callable[[], datetime] = now_utc) -> None:
        self._inner = inner
        self._limits = limits
        self._now = now

    async def search(self, query: WebQuery, context: RequestContext) -> tuple[WebResult, ...]:
        bounded = self._limits.bounded(query)
        if bounded is None or not bounded.text:
            return ()
        found = await self._inner.search(bounded, context)
        return screened(found, bounded, self._limits.max_page_chars, self._now())

    async def close(self) -> None:
        await self._inner.close()


def screened(
    results: Iterable[WebResult], query: WebQuery, max_page_chars: int, now: datetime
) -> tuple[WebResult, ...]:
    """The results that fit the query and may be used, in their order."""
    kept: dict[str, WebResult] = {}
    for result in results:
        host = public_host(result.url)
        if host is None or is_within(host, query.without_domains):
            continue
        if query.domains and not is_within(host, query.domains):
            continue
        published = date_of(result.published)
        if published and query.time_range and published < now - timedelta(days=_DAYS[query.time_range]):
            continue
        text = clean(result.text, max_page_chars)
        if text:
            title = one_line(result.title, _MAX_TITLE_CHARS)
            kept.setdefault(
                result.url, WebResult(result.url, title, text, published.isoformat() if published else None)
            )
    return tuple(kept.values())[: query.max_results]


def date_of(text: str | None) -> datetime | None:
    """The moment that a date says, in ISO 8601 or as mail writes it; None if it says none."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        try:
            moment = email.utils.parsedate_to_datetime(text.strip())
        except ValueError:
            return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
