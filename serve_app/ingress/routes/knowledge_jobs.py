"""/v1/knowledge/jobs: documents that are ingested in the background, how far they are, and their end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import asdict

from fastapi import APIRouter, Request, Response

from serve_app.ingress.answers.answers import json_document, takes
from serve_app.ingress.answers.sse import PING_EVERY_S, EventStream
from serve_app.ingress.requests.call import Call, CallReader
from serve_app.ingress.requests.knowledge import PutBody
from serve_app.ingress.requests.multipart import is_multipart
from serve_app.messages import DocumentInput, JsonObject, RequestContext
from serve_app.openai_api.requests import parse
from serve_app.openai_api.responses import encode
from serve_app.openai_api.responses import event as sse_event
from serve_app.retrieval.jobs.base import Job, JobsClient

_STAGE = "knowledge base"
POLL_EVERY_S = 0.5  # a job is in another replica; a look at it is one call


def router(reader: CallReader, jobs: JobsClient) -> APIRouter:
    routes = APIRouter(prefix="/v1/knowledge", tags=["knowledge"])

    @routes.post("/jobs", openapi_extra=takes(PutBody), status_code=202)
    async def submit(request: Request) -> Response:
        """Add or replace documents in the background: JSON, or files as multipart/form-data."""
        call, source, documents = await read_posted(reader, request)
        return await accepted(call, jobs, source, documents)

    @routes.get("/jobs")
    async def list_jobs(request: Request) -> Response:
        """The tenant's jobs, the newest first."""
        call = reader.read_headers(request)
        found = await call.run(_STAGE, jobs.jobs(call.context))
        return json_document({"object": "list", "data": [shown(job) for job in found]})

    @routes.get("/jobs/{job_id}")
    async def get_job(request: Request, job_id: str) -> Response:
        """How far a job is."""
        call = reader.read_headers(request)
        return json_document(shown(await call.run(_STAGE, jobs.job(job_id, call.context))))

    @routes.get("/jobs/{job_id}/events")
    async def watch(request: Request, job_id: str) -> Response:
        """A job's progress as events: `job.progress` at each change, and `job.finished` at the end."""
        call = reader.read_headers(request)
        frames = _events(jobs, job_id, call.context)
        deadline = call.context.deadline
        return EventStream(frames, deadline, _STAGE, error_event="error", ping_every_s=PING_EVERY_S)

    @routes.post("/jobs/{job_id}/cancel")
    async def cancel(request: Request, job_id: str) -> Response:
        """Let a job end before its next documents; those that are done stay."""
        call = reader.read_headers(request)
        return json_document(shown(await call.run(_STAGE, jobs.cancel_job(job_id, call.context))))

    return routes


async def read_posted(reader: CallReader, request: Request) -> tuple[Call, str, list[DocumentInput]]:
    """The documents that a request posts, in whichever of both forms. Raises as the reader."""
    if is_multipart(request):
        return await reader.read_files(request)
    call = await reader.read(request)
    wanted = parse(PutBody, call.body)
    return call, wanted.source, wanted.inputs()


async def accepted(call: Call, jobs: JobsClient, source: str, documents: list[DocumentInput]) -> Response:
    """202 with the job: the documents are kept from now on, whether the client stays or not."""
    job = await call.run(_STAGE, jobs.submit(source, documents, call.context))
    headers = {"location": f"/v1/knowledge/jobs/{job.id}"}
    return Response(encode(shown(job)), 202, headers, "application/json")


def shown(job: Job) -> JsonObject:
    """A job as clients get it."""
    fields = asdict(job)
    del fields["tenant"]
    fields["failed"] = [{"path": path, "reason": reason} for path, reason in job.failed]
    return {"object": "knowledge.job", **fields}


async def _events(jobs: JobsClient, job_id: str, context: RequestContext) -> AsyncGenerator[bytes]:
    told: Job | None = None
    while told is None or told.is_open:
        job = await jobs.job(job_id, context)
        if job != told:
            yield sse_event(shown(job), "job.progress" if job.is_open else "job.finished")
            told = job
        if job.is_open:
            await asyncio.sleep(POLL_EVERY_S)
