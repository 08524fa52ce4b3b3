"""/v1/knowledge/...: what the knowledge base holds, and the passages in it that fit a query."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from serve_app.errors import NotFound
from serve_app.ingress.answers.answers import json_document, takes
from serve_app.ingress.requests.call import CallReader
from serve_app.ingress.requests.knowledge import (
    DeleteBody,
    FailureBody,
    PlanBody,
    PutBody,
    RebuildBody,
    SearchBody,
    StartBody,
)
from serve_app.ingress.requests.multipart import is_multipart
from serve_app.ingress.routes.knowledge_jobs import accepted, read_posted
from serve_app.messages import DocumentOutcome, DocumentStatus, JsonObject, SearchResult
from serve_app.openai_api.requests import parse
from serve_app.retrieval.base import KnowledgeClient
from serve_app.retrieval.jobs.base import JobsClient

_STAGE = "knowledge base"


def router(reader: CallReader, knowledge: KnowledgeClient, jobs: JobsClient | None = None) -> APIRouter:
    routes = APIRouter(prefix="/v1/knowledge", tags=["knowledge"])
    _add_put(routes, reader, knowledge, jobs)
    _add_documents(routes, reader, knowledge)
    _add_questions(routes, reader, knowledge)
    return routes


def _add_put(
    routes: APIRouter, reader: CallReader, knowledge: KnowledgeClient, jobs: JobsClient | None
) -> None:
    @routes.post("/documents", openapi_extra=takes(PutBody))
    async def put(request: Request, wait: bool | None = None) -> Response:  # noqa: FBT001 (of the query)
        """Add or replace documents, as JSON or as files (multipart/form-data).

        One that cannot be read is reported as failed; the others go on. Files, and with `wait=false` any
        documents, are ingested in the background: the answer is a job (202).
        """
        call, source, documents = await read_posted(reader, request)
        waits = not is_multipart(request) if wait is None else wait
        if not waits and jobs is not None:
            return await accepted(call, jobs, source, documents)
        outcomes = await call.run(_STAGE, knowledge.put_documents(source, documents, call.context))
        return json_document(_outcomes(outcomes))


def _add_documents(routes: APIRouter, reader: CallReader, knowledge: KnowledgeClient) -> None:
    @routes.post("/sync/plan", openapi_extra=takes(PlanBody))
    async def plan(request: Request) -> Response:
        """What of a source still has to be sent, and which documents of the base it no longer has."""
        call = await reader.read(request)
        wanted = parse(PlanBody, call.body)
        planned = await call.run(_STAGE, knowledge.plan_sync(wanted.source, wanted.documents, call.context))
        return json_document({"object": "knowledge.sync_plan", **asdict(planned)})

    @routes.get("/documents")
    async def list_documents(
        request: Request,
        source: str | None = None,
        after: str = "",
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> Response:
        """Documents ordered by id; `after` is the last id of the page before."""
        call = reader.read_headers(request)
        listing = knowledge.list_documents(call.context, source=source, after=after, limit=limit + 1)
        found = await call.run(_STAGE, listing)
        data = [asdict(document) for document in found[:limit]]
        return json_document({"object": "list", "data": data, "has_more": len(found) > limit})

    @routes.delete("/documents/{document_id}")
    async def delete_one(request: Request, document_id: str) -> Response:
        """Remove one document with all its passages."""
        call = reader.read_headers(request)
        if not await call.run(_STAGE, knowledge.delete_documents([document_id], call.context)):
            raise NotFound(f"there is no document {document_id!r}")
        return json_document({"object": "knowledge.document.deleted", "id": document_id, "deleted": True})

    @routes.post("/documents/delete", openapi_extra=takes(DeleteBody))
    async def delete_many(request: Request) -> Response:
        """Remove documents; ids that are not there are not counted."""
        call = await reader.read(request)
        ids = parse(DeleteBody, call.body).ids
        num_deleted = await call.run(_STAGE, knowledge.delete_documents(ids, call.context))
        return json_document({"object": "knowledge.documents.deleted", "num_deleted": num_deleted})


def _add_questions(routes: APIRouter, reader: CallReader, knowledge: KnowledgeClient) -> None:
    @routes.post("/search", openapi_extra=takes(SearchBody))
    async def search(request: Request) -> Response:
        """The passages that fit the query best, best first."""
        call = await reader.read(request)
        query = parse(SearchBody, call.body).search_query()
        found = await call.run(_STAGE, knowledge.search(query, call.context))
        return json_document(_found(found, explain=query.explain))

    @routes.post("/sync/failure", openapi_extra=takes(FailureBody))
    async def sync_failed(request: Request) -> Response:
        """Note that a sync broke off: the status calls its source failing until somebody looks at it again."""
        call = await reader.read(request)
        wanted = parse(FailureBody, call.body)
        await call.run(_STAGE, knowledge.sync_failed(wanted.source, wanted.reason, call.context))
        return json_document({"object": "knowledge.sync_failure", "source": wanted.source})

    @routes.post("/sync/start", openapi_extra=takes(StartBody))
    async def begin_sync(request: Request) -> Response:
        """Sync one of the configured sources in the background; the status says what comes of it."""
        call = await reader.read(request)
        source = parse(StartBody, call.body).source
        await call.run(_STAGE, knowledge.begin_sync(source, call.context))
        return json_document({"object": "knowledge.sync", "source": source})

    @routes.post("/rebuild", openapi_extra=takes(RebuildBody))
    async def rebuild(request: Request) -> Response:
        """Bring the base in line with the present embedder and settings; call again while documents are left."""
        call = await reader.read(request)
        reindexes = parse(RebuildBody, call.body).reindex
        report = await call.run(_STAGE, knowledge.rebuild(call.context, reindexes=reindexes))
        return json_document({"object": "knowledge.rebuild", **asdict(report)})

    @routes.get("/status")
    async def status(request: Request) -> Response:
        """Counts and generation of the tenant's knowledge base, and how current each of its sources is."""
        call = reader.read_headers(request)
        standing = await call.run(_STAGE, knowledge.status(call.context))
        return json_document({"object": "knowledge.status", **asdict(standing)})


def _outcomes(outcomes: Sequence[DocumentOutcome]) -> JsonObject:
    counts = Counter(outcome.status for outcome in outcomes)
    data = [{key: value for key, value in asdict(outcome).items() if value != ""} for outcome in outcomes]
    return {"object": "list", "data": data, "counts": {status: counts[status] for status in DocumentStatus}}


def _found(result: SearchResult, *, explain: bool) -> JsonObject:
    data: list[dict[str, Any]] = [asdict(passage) for passage in result.passages]
    if not explain:
        for passage in data:  # a fusion on the server would not know them
            del passage["lexical_rank"], passage["dense_rank"]
    told = {"object": "list", "data": data, "flags": result.flags, "took_s": result.took_s}
    told |= {"stale_sources": result.stale_sources}
    return told | ({"stages_ms": dict(result.stages_ms)} if explain else {})
