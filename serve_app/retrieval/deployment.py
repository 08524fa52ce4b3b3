"""The knowledge base in a replica. A plain class; `app.py` makes a deployment of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ray.serve.handle import DeploymentHandle

from configs.schema import KnowledgeConfig
from serve_app.handles import EmbedderHandle
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
from serve_app.retrieval.knowledge import open_knowledge


class KnowledgeBaseDeployment:
    """The one replica of the knowledge base: it is ready at once, and reaches disk and embedder later."""

    def __init__(self, config: KnowledgeConfig, home: Path, embedder: DeploymentHandle[Any]) -> None:
        self._knowledge = open_knowledge(config, home, EmbedderHandle(embedder, "embedder"))

    async def search(self, query: SearchQuery, context: RequestContext) -> SearchResult:
        return await self._knowledge.search(query, context)

    async def plan_sync(
        self, source: str, sha256_by_path: Mapping[str, str], context: RequestContext
    ) -> SyncPlan:
        return await self._knowledge.plan_sync(source, sha256_by_path, context)

    async def put_documents(
        self, source: str, documents: Sequence[DocumentInput], context: RequestContext
    ) -> tuple[DocumentOutcome, ...]:
        return await self._knowledge.put_documents(source, documents, context)

    async def delete_documents(self, document_ids: Sequence[str], context: RequestContext) -> int:
        return await self._knowledge.delete_documents(document_ids, context)

    async def list_documents(
        self, context: RequestContext, *, source: str | None = None, after: str = "", limit: int = 100
    ) -> tuple[DocumentInfo, ...]:
        return await self._knowledge.list_documents(context, source=source, after=after, limit=limit)

    async def status(self, context: RequestContext) -> KnowledgeStatus:
        return await self._knowledge.status(context)

    async def __del__(self) -> None:
        await self._knowledge.close()
