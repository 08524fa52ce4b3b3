"""A reranker without a model: a passage's score is the part of the question's words that it has."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

from configs.schema import MockReranker as MockRerankerConfig
from serve_app.engines.cards import reranker_card
from serve_app.messages import ModelCard, RequestContext, Scores

_WORD = re.compile(r"\w+")


class MockPairScorer:
    """A PairScorer."""

    def __init__(self, config: MockRerankerConfig) -> None:
        self._config = config

    def card(self) -> ModelCard:
        return reranker_card(self._config)

    async def rerank(self, query: str, passages: Sequence[str], context: RequestContext) -> Scores:
        if self._config.ms_per_passage:
            await asyncio.sleep(len(passages) * self._config.ms_per_passage / 1000.0)
        asked = _words(query)
        limit = max(0, self._config.context_tokens - len(asked))
        texts = [_words(passage) for passage in passages]
        return Scores(
            values=tuple(len(set(asked) & set(words[:limit])) / (len(set(asked)) or 1) for words in texts),
            num_tokens=sum(len(asked) + min(len(words), limit) for words in texts),
            num_truncated=sum(len(words) > limit for words in texts),
        )

    async def check_health(self) -> None:
        return

    async def close(self) -> None:
        return


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
