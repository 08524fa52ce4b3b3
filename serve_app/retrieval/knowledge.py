"""The knowledge base: documents in, passages out, one tenant at a time.

Joins the store, the manifest and the embedder; `sync` changes it, `search` reads it. Opening needs
neither the disk nor the embedder: both are reached at the first use, and again after a fault.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from configs.schema import KnowledgeConfig
from serve_app.engines.base import EmbeddingClient
from serve_app.engines.rerank.base import RerankClient
from serve_app.errors import BadRequest, MantaError, NotFound
from serve_app.messages import (
    Deadline,
    DocumentInfo,
    DocumentInput,
    DocumentOutcome,
    KnowledgeStatus,
    Priority,
    RebuildReport,
    RequestContext,
    SearchQuery,
    SearchResult,
    SourceStanding,
    SyncPlan,
    Vectors,
)
from serve_app.retrieval.base import Store
from serve_app.retrieval.drafts import Draft, check_name
from serve_app.retrieval.embedding import CheckedEmbedder, PassageVectors
from serve_app.retrieval.freshness import Freshness
from serve_app.retrieval.leases import Leases, LocalLeases
from serve_app.retrieval.manifest import Manifest, Recipe, Summary
from serve_app.retrieval.rebuilding import Rebuilding
from serve_app.retrieval.search import Searcher
from serve_app.retrieval.source_states import SourceStates
from serve_app.retrieval.stores.open import open_storage
from serve_app.retrieval.sync import Synchroniser
from serve_app.retrieval.writer import Writer

_MAX_PAGE = 1000  # documents of one listing
_FRESHNESS_TIMEOUT_S = 10.0
_SYNC_LEASE = "\x00sync\x00"  # begins what no tenant is called

logger = logging.getLogger("manta.retrieval")


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
        checked = self._embedder = CheckedEmbedder(embedder)
        self._leases = leases or LocalLeases()
        writer = Writer(store, manifest, self._leases)
        self._store = store
        self._store_kind = config.store.kind
        self._manifest = manifest
        self._searcher = Searcher(store, checked, config.retrieval, reranker)
        self._synchroniser = Synchroniser(store, manifest, checked, config, now, writer)
        self._rebuilding = Rebuilding(store, manifest, checked, writer)
        configured: dict[str, list[str]] = {}
        for source in config.sources:
            configured.setdefault(source.tenant, []).append(source.name)
        self._states = SourceStates(manifest, now, configured, config.currency.max_age_s)
        self._freshness = Freshness(self._standings_now, config.currency.known_for_s)

    async def search(self, query: SearchQuery, context: RequestContext) -> SearchResult:
        self._freshness.begin(context.tenant)
        result = await self._searcher.search(query, context)
        sources = {passage.source for passage in result.passages}
        return replace(result, stale_sources=self._freshness.in_doubt(context.tenant, sources))

    async def plan_sync(
        self, source: str, sha256_by_path: Mapping[str, str], context: RequestContext
    ) -> SyncPlan:
        plan = await self._synchroniser.plan(source, sha256_by_path, context)
        await self._states.looked(context.tenant, source, plan)
        self._freshness.forget(context.tenant)
        return plan

    async def put_documents(
        self, source: str, documents: Sequence[DocumentInput], context: RequestContext
    ) -> tuple[DocumentOutcome, ...]:
        outcomes = await self._synchroniser.put(source, documents, context)
        await self._states.changed(context.tenant, source, outcomes)
        self._freshness.forget(context.tenant)
        return outcomes

    async def known_vectors(self, text_hashes: Sequence[str], context: RequestContext) -> dict[str, Vectors]:
        """text hash -> vector of the present model, of those texts that the tenant has."""
        recipe = await self._synchroniser.recipe(context)
        return await self._synchroniser.known_vectors(text_hashes, recipe, context)

    async def put_drafts(
        self,
        source: str,
        drafts: Sequence[Draft],
        vectors: Mapping[str, Vectors],
        faults: Mapping[str, str],
        context: RequestContext,
    ) -> tuple[DocumentOutcome, ...]:
        """Store documents that workers cut and embedded (text hash -> vector, or why there is none)."""
        embedded = PassageVectors(dict(vectors), dict(faults))
        outcomes = await self._synchroniser.put_drafts(source, drafts, embedded, context)
        await self._states.changed(context.tenant, source, outcomes)
        return outcomes

    async def delete_documents(self, document_ids: Sequence[str], context: RequestContext) -> int:
        removed = await self._synchroniser.delete(document_ids, context)
        for source, num_removed in removed.items():
            await self._states.changed(context.tenant, source, (), num_removed)
        self._freshness.forget(context.tenant)
        return removed.total()

    async def sync_failed(self, source: str, reason: str, context: RequestContext) -> None:
        check_name(source, "source")
        await self._states.failed(context.tenant, source, reason)
        self._freshness.forget(context.tenant)

    async def begin_sync(self, source: str, context: RequestContext) -> None:
        """Syncs are begun by who keeps them up (`upkeep`), in the replica's own loop."""
        raise NotFound(f"no source {source!r} is kept current by this process")

    @asynccontextmanager
    async def syncing(self, tenant: str, source: str, deadline: Deadline) -> AsyncIterator[None]:
        """Be the only replica that syncs this source on its own.

        Raises:
            Unavailable: another one is at it until the deadline; the message says which.
        """
        async with self._leases.hold(f"{_SYNC_LEASE}{tenant}\x00{source}", deadline):
            yield

    async def rebuild(self, context: RequestContext, *, reindexes: bool = True) -> RebuildReport:
        recipe = await self._synchroniser.recipe(context)
        report = await self._rebuilding.run(recipe, context, reindexes=reindexes)
        self._freshness.forget(context.tenant)
        return report

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
            standings=await self._standings(summary, context),
        )

    async def _standings(self, summary: Summary, context: RequestContext) -> tuple[SourceStanding, ...]:
        try:
            recipe: Recipe | None = await self._synchroniser.recipe(context)
        except MantaError as exc:
            # Counts are told without the embedder too; which model it is will be known when it is back.
            logger.warning("whether documents are of the embedder's model is not known: %s", exc)
            recipe = None
        return await self._states.standings(context.tenant, summary.recipes, recipe)

    async def _standings_now(self, tenant: str) -> tuple[SourceStanding, ...]:
        context = RequestContext("freshness", tenant, Deadline.after(_FRESHNESS_TIMEOUT_S), Priority.BATCH)
        return await self._standings(await self._manifest.summary(tenant), context)

    async def close(self) -> None:
        await self._freshness.close()
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
