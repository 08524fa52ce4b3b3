"""Jobs in the ledger on the server: any replica may be asked for any of them, and may take one over.

A job and its documents are written in one bulk request, the job last, so that a job that is found has all
of its documents.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from serve_app.errors import Unavailable
from serve_app.messages import DocumentInput
from serve_app.retrieval.identity import digest
from serve_app.retrieval.jobs.base import Job
from serve_app.retrieval.jobs.sqlite_jobs import decoded
from serve_app.retrieval.stores import terms
from serve_app.retrieval.stores.opensearch import bulk
from serve_app.retrieval.stores.opensearch.ledger import Ledger

_KIND = "job"
_OPEN, _FINISHED = "open", "finished"  # as `recipe`, the ledger's field for how something stands
_TRIES = 20  # of a write that others came before


class OpenSearchJobs:
    """A JobStore in a ledger of its own."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def add(self, job: Job, documents: Sequence[DocumentInput]) -> None:
        actions = [
            bulk.put(_document_key(job, at), _document(job, at, one), None)
            for at, one in enumerate(documents)
        ]
        await self._ledger.write(actions)
        await self._ledger.write([bulk.put(_key(job.tenant, job.id), _record(job), None)])

    async def get(self, tenant: str, job_id: str) -> Job | None:
        found = await self._ledger.get(_key(tenant, job_id))
        return None if found is None else _job(found[0])

    async def of(self, tenant: str) -> list[Job]:
        return await self._found([{"term": {"owner": terms.owner(tenant)}}], is_newest_first=True)

    async def open(self) -> list[Job]:
        return [job for job in await self._found([{"term": {"recipe": _OPEN}}]) if job.is_open]

    async def documents(self, job: Job, first: int, num: int) -> list[DocumentInput]:
        keys = [_document_key(job, at) for at in range(first, min(first + num, job.num_documents))]
        found = await self._ledger.get_many(keys)
        if len(found) != len(keys):
            raise Unavailable(f"documents of {job.id} are not there")
        return [_input(one["record"]) for one in found]

    async def update(self, job: Job) -> Job:
        for _ in range(_TRIES):
            found = await self._ledger.get(_key(job.tenant, job.id))
            if found is None:
                return job
            kept = replace(job, is_cancel_wanted=job.is_cancel_wanted or _job(found[0]).is_cancel_wanted)
            if await self._ledger.swap(_key(job.tenant, job.id), _record(kept), found[1]):
                if not kept.is_open:
                    await self._drop_documents(kept)
                return kept
        raise Unavailable(f"{job.id} could not be noted: others came before, {_TRIES} times")

    async def ask_cancel(self, tenant: str, job_id: str) -> Job | None:
        for _ in range(_TRIES):
            found = await self._ledger.get(_key(tenant, job_id))
            if found is None:
                return None
            job = _job(found[0])
            wanted = replace(job, is_cancel_wanted=True)
            if not job.is_open or await self._ledger.swap(_key(tenant, job_id), _record(wanted), found[1]):
                return wanted if job.is_open else job
        raise Unavailable(f"{job_id} could not be cancelled: others came before, {_TRIES} times")

    async def forget(self, job: Job) -> None:
        await self._ledger.write([bulk.delete(_key(job.tenant, job.id), None)])

    async def close(self) -> None:
        await self._ledger.close()

    async def _found(
        self, clauses: Sequence[Mapping[str, Any]], *, is_newest_first: bool = False
    ) -> list[Job]:
        """By the index, which may be a second behind, and then each as it is now."""
        scan = self._ledger.scan([{"term": {"kind": _KIND}}, *clauses], ["record"])
        listed = [_job(one) async for one in scan]
        now = await self._ledger.get_many([_key(job.tenant, job.id) for job in listed])
        return sorted(map(_job, now), key=lambda job: (job.created_at, job.id), reverse=is_newest_first)

    async def _drop_documents(self, job: Job) -> None:
        await self._ledger.write(bulk.delete(_document_key(job, at), None) for at in range(job.num_documents))


def _key(tenant: str, job_id: str) -> str:
    return digest("job", tenant, job_id)


def _document_key(job: Job, position: int) -> str:
    return digest("job document", job.tenant, job.id, str(position))


def _record(job: Job) -> dict[str, Any]:
    return {
        "kind": _KIND,
        "owner": terms.owner(job.tenant),
        "id": job.id,
        "recipe": _OPEN if job.is_open else _FINISHED,
        "record": {"job": json.dumps(asdict(job), ensure_ascii=False)},
    }


def _job(document: Mapping[str, Any]) -> Job:
    return decoded(json.loads(document["record"]["job"]))


def _document(job: Job, position: int, document: DocumentInput) -> dict[str, Any]:
    return {
        "kind": "job document",
        "owner": terms.owner(job.tenant),
        "id": f"{job.id}-{position}",
        "record": {
            "path": document.path,
            "content": base64.b64encode(document.content).decode(),
            "media_type": document.media_type,
            "metadata": json.dumps(dict(document.metadata), ensure_ascii=False),
            "version": document.version,
        },
    }


def _input(record: Mapping[str, Any]) -> DocumentInput:
    metadata = json.loads(record["metadata"])
    content = base64.b64decode(record["content"])
    return DocumentInput(record["path"], content, record["media_type"], metadata, record["version"])
