"""A reranker behind somebody else's /v1/rerank. Its answer is read strictly: scores decide what is shown."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from configs.schema import ExternalReranker as ExternalRerankerConfig
from serve_app.engines.cards import reranker_card
from serve_app.engines.upstream import Upstream
from serve_app.errors import EngineFailed
from serve_app.messages import Endpoint, ModelCard, RequestContext, Scores


class _Result(msgspec.Struct):
    index: int
    relevance_score: float


class _Usage(msgspec.Struct):
    total_tokens: int = 0


class _Answer(msgspec.Struct):
    results: list[_Result]
    usage: _Usage | None = None


_decoder = msgspec.json.Decoder(_Answer)


class ExternalPairScorer:
    """A PairScorer."""

    def __init__(self, config: ExternalRerankerConfig) -> None:
        self._config = config
        self._upstream = Upstream(
            config.name,
            config.base_url,
            config.api_key,
            connect_timeout_s=config.connect_timeout_s,
            max_connections=config.scaling.max_ongoing_requests,
        )

    def card(self) -> ModelCard:
        return reranker_card(self._config)

    async def rerank(self, query: str, passages: Sequence[str], context: RequestContext) -> Scores:
        body = {
            "model": self._config.upstream_model,
            "query": query,
            "documents": list(passages),
            "top_n": len(passages),
            "return_documents": False,
            # vLLM refuses what is too long unless it is told where to cut; others ignore this.
            "truncate_prompt_tokens": -1,
        }
        raw = await self._upstream.post(Endpoint.RERANK, body, context.deadline)
        try:
            answer = _decoder.decode(raw)
        except msgspec.DecodeError as exc:
            raise EngineFailed(f"{self._config.name}: the answer of /v1/rerank is none: {exc}") from exc
        found = {one.index: one.relevance_score for one in answer.results}
        if sorted(found) != list(range(len(passages))):
            raise EngineFailed(f"{self._config.name} scored {len(found)} of {len(passages)} passages")
        values = tuple(found[index] for index in range(len(passages)))
        return Scores(values, answer.usage.total_tokens if answer.usage else 0)

    async def check_health(self) -> None:
        await self._upstream.check_health()

    async def close(self) -> None:
        await self._upstream.close()
