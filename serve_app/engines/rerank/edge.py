"""/v1/rerank over a PairScorer. Knows nothing of how scores are made."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence

from serve_app.engines.rerank.base import PairScorer
from serve_app.errors import BadRequest, EngineFailed
from serve_app.messages import Endpoint, JsonObject, ModelCard, RequestContext, Scores
from serve_app.openai_api.rerank import parse_rerank, rerank_document


class RerankEdge:
    """A RerankEngine made of a PairScorer. No score leaves that is none."""

    def __init__(self, scorer: PairScorer) -> None:
        self._scorer = scorer

    def card(self) -> ModelCard:
        return self._scorer.card()

    async def respond(self, endpoint: Endpoint, body: JsonObject, context: RequestContext) -> bytes:
        if endpoint is not Endpoint.RERANK:
            raise BadRequest(f"{self.card().name} is a reranker: it serves /v1/rerank only", "model")
        request = parse_rerank(body)
        scores = await self.rerank(request.query, request.texts(), context)
        return rerank_document(request, scores, context.request_id)

    async def stream(
        self, endpoint: Endpoint, body: JsonObject, context: RequestContext
    ) -> AsyncIterator[bytes]:
        yield await self._refuse_stream()

    async def rerank(self, query: str, passages: Sequence[str], context: RequestContext) -> Scores:
        context.deadline.check("rerank")
        if not passages:
            return Scores(())
        scores = await self._scorer.rerank(query, passages, context)
        name = self.card().name
        if len(scores.values) != len(passages):
            raise EngineFailed(f"{name} gave {len(scores.values)} scores for {len(passages)} passages")
        if not all(math.isfinite(value) and 0.0 <= value <= 1.0 for value in scores.values):
            raise EngineFailed(f"{name} gave a score that is no number from 0 to 1")
        return scores

    async def check_health(self) -> None:
        await self._scorer.check_health()

    async def close(self) -> None:
        await self._scorer.close()

    async def _refuse_stream(self) -> bytes:
        raise BadRequest(f"{self.card().name} is a reranker: it does not stream", "stream")
