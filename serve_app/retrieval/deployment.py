"""The knowledge base in a replica. A plain class; `app.py` makes a deployment of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ray.serve.handle import DeploymentHandle

from configs.schema import KnowledgeConfig, StreamsConfig, TracingConfig
from serve_app.channel.asked import Asked
from serve_app.channel.values import values_of
from serve_app.handles import EmbedderHandle, RerankerHandle
from serve_app.messages import (
    Deadline,
    DocumentInfo,
    DocumentInput,
    DocumentOutcome,
    KnowledgeStatus,
    RebuildReport,
    RequestContext,
    SearchQuery,
    SearchResult,
    SyncPlan,
)
from serve_app.replica import Replica, open_inbox, returns_errors, without_items
from serve_app.retrieval.jobs.base import Job
from serve_app.retrieval.jobs.runner import Jobs
from serve_app.retrieval.knowledge import KnowledgeBase, open_knowledge
from serve_app.retrieval.stores.open import open_jobs
from serve_app.retrieval.told_standings import ToldStandings
from serve_app.retrieval.upkeep import Upkeep
from serve_app.telemetry.deployment import Instruments
from serve_app.telemetry.metrics import CHUNKS_EMBEDDED, DOCUMENTS_INGESTED, SEARCH_DURATION
from serve_app.telemetry.traced import trace_search
from serve_app.telemetry.tracing import Tracing

_READY_TIMEOUT_S = 5.0


class _Counted:
    """The base, with what is ingested counted."""

    def __init__(self, knowledge: KnowledgeBase, instruments: Instruments) -> None:
        self._knowledge = knowledge
        self._instruments = instruments

    async def put_documents(
        self, source: str, documents: Sequence[DocumentInput], context: RequestContext
    ) -> tuple[DocumentOutcome, ...]:
        outcomes = await self._knowledge.put_documents(source, documents, context)
        for outcome in outcomes:
            self._instruments.count(DOCUMENTS_INGESTED, status=outcome.status)
        self._instruments.count(CHUNKS_EMBEDDED, sum(outcome.num_embedded for outcome in outcomes))
        return outcomes

    def syncing(self, tenant: str, source: str, deadline: Deadline) -> AbstractAsyncContextManager[None]:
        return self._knowledge.syncing(tenant, source, deadline)


class KnowledgeBaseDeployment:
    """A replica of the knowledge base: it is ready at once, and reaches disk, server and embedder later."""

    def __init__(
        self,
        config: KnowledgeConfig,
        home: Path,
        embedder: DeploymentHandle[Any],
        streams: StreamsConfig,
        reranker: DeploymentHandle[Any] | None = None,
        *,
        tracing: TracingConfig = TracingConfig(),  # noqa: B008 (frozen)
    ) -> None:
        inbox = open_inbox(streams)
        self._knowledge = open_knowledge(
            config,
            home,
            EmbedderHandle(embedder, "the embedder", inbox),
            None if reranker is None else RerankerHandle(reranker, "the reranker", inbox),
        )
        self._upkeep = Upkeep(self._knowledge, config, home)
        self._upkeep.start()
        self._instruments = Instruments()
        self._tracing = Tracing(tracing, "KnowledgeBase", self._instruments.count)
        # Searches alone: ingestion is no part of a question.
        self._searched = trace_search(self._knowledge, self._tracing.tracer)
        self._counted = _Counted(self._knowledge, self._instruments)
        self._jobs = Jobs(
            self._counted,
            open_jobs(config.store, home),
            config.jobs,
            lambda: datetime.now(UTC),
        )
        self._jobs.start()
        sources = {(one.tenant, one.name) for one in config.sources}
        self._told = ToldStandings(self._knowledge.status, sources, self._instruments.put)
        self._replica = Replica("knowledge", config.scaling, inbox=inbox)

    @returns_errors
    async def search(self, query: SearchQuery, context: RequestContext) -> SearchResult:
        async with self._replica.working(context):
            return await self._search(query, context)

    @without_items
    async def search_by_channel(self, asked: Asked) -> None:
        """The same, sent by the channel."""
        await self._replica.send(asked, values_of(self._search))

    @returns_errors
    async def plan_sync(
        self, source: str, sha256_by_path: Mapping[str, str], context: RequestContext
    ) -> SyncPlan:
        async with self._replica.working(context):
            return await self._knowledge.plan_sync(source, sha256_by_path, context)

    @returns_errors
    async def put_documents(
        self, source: str, documents: Sequence[DocumentInput], context: RequestContext
    ) -> tuple[DocumentOutcome, ...]:
        async with self._replica.working(context):
            return await self._counted.put_documents(source, documents, context)

    @returns_errors
    async def submit(self, source: str, documents: Sequence[DocumentInput], context: RequestContext) -> Job:
        return await self._jobs.submit(source, documents, context)

    @returns_errors
    async def job(self, job_id: str, context: RequestContext) -> Job:
        return await self._jobs.job(job_id, context)

    @returns_errors
    async def jobs(self, context: RequestContext) -> tuple[Job, ...]:
        return await self._jobs.jobs(context)

    @returns_errors
    async def cancel_job(self, job_id: str, context: RequestContext) -> Job:
        return await self._jobs.cancel_job(job_id, context)

    @returns_errors
    async def delete_documents(self, document_ids: Sequence[str], context: RequestContext) -> int:
        async with self._replica.working(context):
            return await self._knowledge.delete_documents(document_ids, context)

    @returns_errors
    async def sync_failed(self, source: str, reason: str, context: RequestContext) -> None:
        await self._knowledge.sync_failed(source, reason, context)

    @returns_errors
    async def begin_sync(self, source: str, context: RequestContext) -> None:
        self._upkeep.begin(context.tenant, source)

    @returns_errors
    async def rebuild(self, context: RequestContext, *, reindexes: bool = True) -> RebuildReport:
        async with self._replica.working(context):
            return await self._knowledge.rebuild(context, reindexes=reindexes)

    @returns_errors
    async def list_documents(
        self, context: RequestContext, *, source: str | None = None, after: str = "", limit: int = 100
    ) -> tuple[DocumentInfo, ...]:
        async with self._replica.working(context):
            return await self._knowledge.list_documents(context, source=source, after=after, limit=limit)

    @returns_errors
    async def status(self, context: RequestContext) -> KnowledgeStatus:
        return await self._knowledge.status(context)

    def record_autoscaling_stats(self) -> dict[str, float]:
        return self._replica.autoscaling_stats()

    async def check_health(self) -> None:
        """For Serve: see ReplicaHealth."""
        await self._replica.check_health()

    async def check_ready(self) -> None:
        """Return if the store can be read. Not a health check: a new replica would find the same disk."""
        await self._knowledge.status(
            RequestContext("readiness", "readiness", Deadline.after(_READY_TIMEOUT_S))
        )

    async def __del__(self) -> None:
        await self._replica.close()
        await self._told.close()
        await self._upkeep.close()
        await self._jobs.close()
        await self._knowledge.close()
        await self._tracing.close()

    async def _search(self, query: SearchQuery, context: RequestContext) -> SearchResult:
        result = await self._searched.search(query, context)
        self._upkeep.found_stale(context.tenant, result.stale_sources)
        self._instruments.observe(SEARCH_DURATION, result.took_s, mode=query.mode)
        return result
