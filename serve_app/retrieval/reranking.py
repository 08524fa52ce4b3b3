"""The last stage of a search: a model reads the question with each of the best passages, and orders them.

It has a budget. A reranker that is late, down or wrong leaves the order as it was, and a flag.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from configs.schema import RerankConfig
from serve_app.engines.rerank.base import RerankClient
from serve_app.errors import MantaError
from serve_app.messages import RequestContext, SearchQuery
from serve_app.retrieval.base import Fused

RERANK_SKIPPED = "rerank_skipped"

logger = logging.getLogger("manta.retrieval")


@dataclass(frozen=True, slots=True)
class Ordered:
    """A ranking, and the reranker's scores by chunk id; none, and why, if it had no part in it."""

    ranking: list[Fused]
    scores: dict[str, float]
    is_skipped: bool = False


class Reranking:
    """Reranks for one knowledge base; without a client it changes nothing."""

    def __init__(self, client: RerankClient | None, config: RerankConfig) -> None:
        self._client = client
        self._config = config

    def num_candidates(self, query: SearchQuery) -> int:
        """Passages that it needs to see; 0: it has no part in this search."""
        wanted = self._config.by_default if query.rerank is None else query.rerank
        return self._config.num_candidates if wanted and self._client is not None else 0

    def is_missing(self, query: SearchQuery) -> bool:
        """Whether the query asks for a reranker that is not there."""
        return query.rerank is True and self._client is None

    async def order(self, query: SearchQuery, ranking: list[Fused], context: RequestContext) -> Ordered:
        """Candidates by the reranker's score, whatever else was found after them in its old order."""
        candidates = ranking[: self.num_candidates(query)]
        if self._client is None or len(candidates) < 1:
            return Ordered(ranking, {})
        texts = [self._text(one) for one in candidates]
        try:
            async with asyncio.timeout(context.deadline.within(self._config.timeout_s)):
                own = context.at_most(self._config.timeout_s)
                scores = (await self._client.rerank(query.text, texts, own)).values
        except (TimeoutError, MantaError) as exc:
            # Whose time is over has its answer from whoever waits for it; here it is only an order.
            logger.warning("not reranked: %s", exc or f"no scores within {self._config.timeout_s:g} s")
            return Ordered(ranking, {}, is_skipped=True)
        places = sorted(range(len(candidates)), key=lambda at: (-scores[at], at))
        by_id = {one.chunk.id: score for one, score in zip(candidates, scores, strict=True)}
        return Ordered([candidates[at] for at in places] + ranking[len(candidates) :], by_id)

    def _text(self, found: Fused) -> str:
        chunk = found.chunk
        return _joined((chunk.title, *chunk.headings), chunk.text)[: self._config.max_passage_chars]


def _joined(headings: Sequence[str], text: str) -> str:
    """What the passage is about comes before it, each heading once."""
    return "\n".join((" > ".join(dict.fromkeys(one for one in headings if one)), text)).strip()
