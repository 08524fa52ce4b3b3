"""The contracts of a reranker: what its callers see, and what an engine of our own implements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from serve_app.engines.base import ModelClient, ModelEngine
from serve_app.messages import ModelCard, RequestContext, Scores


class RerankClient(ModelClient, Protocol):
    """A served reranker; besides /v1/rerank it has a typed twin for callers in the graph."""

    async def rerank(self, query: str, passages: Sequence[str], context: RequestContext) -> Scores:
        """How well each passage answers the query, from 0 to 1, in the passages' order.

        A pair that is over the model's limit is cut at its passage's end; that is counted.

        Raises:
            Overloaded, DeadlineExceeded, EngineFailed, Unavailable: there are no scores, not even some.
        """
        ...


class RerankEngine(ModelEngine, RerankClient, Protocol):
    """A reranker in this process."""


class PairScorer(Protocol):
    """Scores pairs. Knows nothing of JSON or HTTP; signatures as in RerankClient."""

    def card(self) -> ModelCard: ...

    async def rerank(self, query: str, passages: Sequence[str], context: RequestContext) -> Scores: ...

    async def check_health(self) -> None: ...

    async def close(self) -> None: ...
