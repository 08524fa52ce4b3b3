"""The knowledge base: documents in, passages out, one tenant at a time.

Joins the store, the manifest and the embedder; `sync` changes it, `search` reads it. Opening needs
neither the disk nor the embedder: both are reached at the first use, and again after a fault.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from configs.schema import KnowledgeConfig
from serve_app.engines.base import EmbeddingClient
from serve_app.engines.rerank.base import RerankClient
from serve_app.errors import BadRequest
from serve_app.messages import (
    DocumentInfo,
    DocumentInput,
    DocumentOutcome,
    KnowledgeStatus,
    RequestContext,
    SearchQuery,
    SearchResult,
    SyncPlan,
)
from serve_app.retrieval.base import Store
from serve_app.retrieval.embedding import CheckedEmbedder
from serve_app.retrieval.leases import Leases
from serve_app.retrieval.manifest import Manifest
from serve_app.retrieval.search import Searcher
from serve_app.retrieval.stores.open import open_storage
from serve_app.retrieval.sync import Synchroniser

_MAX_PAGE = 1000  # documents of one listing


def _utc_now() -> datetime:
    return datetime.now(UTC)


class KnowledgeBase:
    """A KnowledgeClient in this process."""

    def __init__(
        self,
        config: KnowledgeConfig,
        store: Store,
        manifest: Manifest,
        embedder: EmbeddingClient,
        now: Callable[[], datetime] = _utc_now,
        leases: Leases | None = None,
        reranker: RerankClient | None = None,
    ) -> None:
        checked = CheckedEmbedder(embedder)
        self._store = store
        self._store_kind = config.store.kind
        self._manifest = manifest
        self._searcher = Searcher(store, checked, config.retrieval, reranker)
        self._synchroniser = Synchroniser(store, manifest, checked, config, now, leases)

    async def search(self, query: SearchQuery, context: RequestContext) -> SearchResult:
        return await self._searcher.search(query, context)

    async def plan_sync(
        self, source: str, sha256_by_path: Mapping[str, str], context: RequestContext
    ) -> SyncPlan:
        return await self._synchroniser.plan(source, sha256_by_path, context)

    async def put_documents(
        self, source: str, documents: Sequence[DocumentInput], context: RequestContext
    ) -> tuple[DocumentOutcome, ...]:
        return await self._synchroniser.put(source, documents, context)

    async def delete_documents(self, document_ids: Sequence[str], context: RequestContext) -> int:
        return await self._synchroniser.delete(document_ids, context)

    async def list_documents(
        self, context: RequestContext, *, source: str | None = None, after: str = "", limit: int = 100
    ) -> tuple[DocumentInfo, ...]:
        if not 1 <= limit <= _MAX_PAGE:
            raise BadRequest(f"limit must be from 1 to {_MAX_PAGE}, not {limit}", "limit")
        records = await self._manifest.page(context.tenant, source, after, limit)
        return tuple(record.info for record in records)

    async def status(self, context: RequestContext) -> KnowledgeStatus:
        summary = await self._manifest.summary(context.tenant)
        return KnowledgeStatus(
            num_documents=summary.num_documents,
            num_chunks=await self._store.count(context.tenant),
            sources=summary.sources,
            generation=summary.generation,
            # Two while the base moves from one model to the next, none while it is empty.
            embedding_id=", ".join(summary.embedding_ids),
            store=self._store_kind,
        )

    async def close(self) -> None:
        await self._store.close()
        await self._manifest.close()


def open_knowledge(
    config: KnowledgeConfig, home: Path, embedder: EmbeddingClient, reranker: RerankClient | None = None
) -> KnowledgeBase:
    """The knowledge base that a configuration describes.

    Args:
        config: the knowledge part of the configuration.
        home: what a relative path of the store is inside of.
        embedder: makes the vectors.
        reranker: orders what a search found; None: nothing does.
    """
    opened = open_storage(config.store, home)
    return KnowledgeBase(
        config, opened.store, opened.manifest, embedder, leases=opened.leases, reranker=reranker
    )
