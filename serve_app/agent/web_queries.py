"""What is asked of the web for a question: which words, among which pages, how far back. Pure.

Made from the question and the conversation alone, never from passages or pages: what stands in those could otherwise
leave by a query.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from configs.schema import WebSearchConfig
from serve_app.agent.states import WebMode
from serve_app.messages import JsonObject
from serve_app.websearch.base import TimeRange, Topic, WebQuery

# A question of more words, or of several sentences, is no query that search engines take well.
_MAX_PLAIN_WORDS = 16
_SENTENCE_END = re.compile("[.!?]\\s+\\S|[\u3002\uff01\uff1f].")
# What is new and yet no news: pages of services answer it.
_NO_NEWS = re.compile(r"\b(?:weather|forecast|stock price|share price|exchange rate|wetter|météo|tiempo)\b")
_RANGES = (
    (
        TimeRange.DAY,
        re.compile(r"\b(?:today|tonight|right now|this morning|breaking news|heute|aujourd'hui|hoy)\b"),
    ),
    (
        TimeRange.WEEK,
        re.compile(
            r"\b(?:yesterday|this week|latest news|gestern|diese woche|hier|cette semaine|ayer|esta semana)\b"
        ),
    ),
    (TimeRange.MONTH, re.compile(r"\b(?:this month|diesen monat|ce mois|este mes)\b")),
)


@dataclass(frozen=True, slots=True)
class WebUse:
    """When the web is searched, and how much of it."""

    modes: frozenset[WebMode] = frozenset(WebMode)
    max_queries: int = 2
    max_results: int = 5

    @classmethod
    def of(cls, config: WebSearchConfig | None) -> WebUse:
        if config is None:
            return cls(frozenset())
        return cls(frozenset(map(WebMode, config.modes)), config.max_queries, config.max_results)


def is_plain(question: str, history: Sequence[JsonObject]) -> bool:
    """Whether a question can be searched for as it stands: short, one sentence, and nothing said before it."""
    is_alone = not any(turn["role"] in ("user", "assistant") for turn in history)
    return is_alone and len(question.split()) <= _MAX_PLAIN_WORDS and not _SENTENCE_END.search(question)


def web_queries(texts: Sequence[str], question: str, mode: WebMode, use: WebUse) -> tuple[WebQuery, ...]:
    """The searches for a question. What is new is sought in the news, as far back as the question says."""
    topic, time_range = Topic.GENERAL, None
    if mode is WebMode.FIRST:
        words = question.lower()
        time_range = next((one for one, pattern in _RANGES if pattern.search(words)), None)
        if not _NO_NEWS.search(words):
            topic = Topic.NEWS
    return tuple(WebQuery(text, topic, use.max_results, time_range) for text in texts[: use.max_queries])
