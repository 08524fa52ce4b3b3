"""Who keeps the base while many work for it: plans, says what is known, and writes what they made.

There is one of it in a run, because an embedded store has one writer, and because the writes of a tenant take
turns anyway. It embeds nothing: what the embedder is like is told to it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from pathlib import Path

from configs.schema import KnowledgeConfig
from serve_app.errors import Unavailable
from serve_app.messages import (
    Deadline,
    DocumentOutcome,
    Embeddings,
    Endpoint,
    JsonObject,
    ModelCard,
    Priority,
    RequestContext,
    SyncPlan,
    Vectors,
)
from serve_app.retrieval.ingest.stages import Made
from serve_app.retrieval.knowledge import KnowledgeBase, open_knowledge

_STEP_TIMEOUT_S = 600.0  # of one plan or one write, the wait for other writers included


class _NoEmbedder:
    """An EmbeddingClient that is described, and not there."""

    def __init__(self, card: ModelCard) -> None:
        self._card = card

    async def describe(self) -> ModelCard:
        return self._card

    async def embed(
        self,
        texts: Sequence[str] | Sequence[Sequence[int]],
        context: RequestContext,
        *,
        is_query: bool = False,
        truncate: bool = False,
    ) -> Embeddings:
        raise Unavailable("the keeper of a base embeds nothing")

    async def count_tokens(self, texts: Sequence[str], context: RequestContext) -> list[int]:
        raise Unavailable("the keeper of a base counts no tokens")

    async def respond(self, endpoint: Endpoint, body: JsonObject, context: RequestContext) -> bytes:
        raise Unavailable("the keeper of a base embeds nothing")

    async def stream(
        self, endpoint: Endpoint, body: JsonObject, context: RequestContext
    ) -> AsyncIterator[bytes]:
        yield await self.respond(endpoint, body, context)


class Keeper:
    """One tenant's base."""

    def __init__(self, config: KnowledgeConfig, home: Path, tenant: str, card: ModelCard) -> None:
        self._knowledge: KnowledgeBase = open_knowledge(config, home, _NoEmbedder(card))
        self._tenant = tenant

    async def plan(self, source: str, states: Mapping[str, str]) -> SyncPlan:
        return await self._knowledge.plan_sync(source, states, self._context())

    async def known(self, text_hashes: Collection[str]) -> dict[str, Vectors]:
        """text hash -> vector of the present model, of those that the base has."""
        return await self._knowledge.known_vectors(list(text_hashes), self._context())

    async def store(self, source: str, made: Made) -> tuple[DocumentOutcome, ...]:
        """Outcomes of the documents, in their order."""
        drafts = [one for one, _ in made.drafts]
        return await self._knowledge.put_drafts(source, drafts, made.vectors, made.faults, self._context())

    async def delete(self, document_ids: Sequence[str]) -> int:
        return await self._knowledge.delete_documents(document_ids, self._context())

    async def failed(self, source: str, reason: str) -> None:
        await self._knowledge.sync_failed(source, reason, self._context())

    async def close(self) -> None:
        await self._knowledge.close()

    def _context(self) -> RequestContext:
        return RequestContext("ingest", self._tenant, Deadline.after(_STEP_TIMEOUT_S), Priority.BATCH)
