"""What a job is, and the contracts of who keeps jobs and who is asked for them.

A job is accepted once it and its documents are kept where a crash of a replica does not reach them. From
then on it needs no client, and ends in one of three ways. Whatever it counts as done is stored in the base.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from serve_app.messages import DocumentInput, RequestContext


class JobStatus(StrEnum):
    """How far a job is."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"  # every document has an outcome; some may have failed
    CANCELLED = "cancelled"  # what was done before stays
    FAILED = "failed"  # it could not go on, `reason` says why; what was done before stays


OPEN = frozenset((JobStatus.QUEUED, JobStatus.RUNNING))


@dataclass(frozen=True, slots=True)
class Job:
    """Documents of one source on their way into a tenant's base."""

    id: str
    tenant: str
    source: str
    status: JobStatus
    num_documents: int
    num_bytes: int
    created_at: str  # ISO 8601, UTC
    updated_at: str
    num_done: int = 0  # documents with an outcome, in the order in which they were posted
    counts: Mapping[str, int] = field(default_factory=dict)  # DocumentStatus -> documents
    failed: tuple[tuple[str, str], ...] = ()  # path, reason: of the first ones
    is_cancel_wanted: bool = False
    reason: str = ""

    @property
    def is_open(self) -> bool:
        return self.status in OPEN


class JobStore(Protocol):
    """Keeps jobs and their documents. Every method raises Unavailable, those that write StorageFull too."""

    async def add(self, job: Job, documents: Sequence[DocumentInput]) -> None:
        """Keep a new job. It survives a crash once this returns."""
        ...

    async def get(self, tenant: str, job_id: str) -> Job | None:
        """The job as it is now."""
        ...

    async def of(self, tenant: str) -> list[Job]:
        """The tenant's jobs, the newest first."""
        ...

    async def open(self) -> list[Job]:
        """The jobs of all tenants that are not finished, the oldest first."""
        ...

    async def documents(self, job: Job, first: int, num: int) -> list[DocumentInput]:
        """At most `num` of its documents, from that position on."""
        ...

    async def update(self, job: Job) -> Job:
        """Write how far it is. A wish to cancel it that came meanwhile is kept: the answer has it.

        A finished job's documents are forgotten.
        """
        ...

    async def ask_cancel(self, tenant: str, job_id: str) -> Job | None:
        """Note that it shall end; None: there is no such job. A finished one stays as it is."""
        ...

    async def forget(self, job: Job) -> None:
        """Remove a job."""
        ...

    async def close(self) -> None: ...


class JobsClient(Protocol):
    """Posted documents, as the ingress sees them."""

    async def submit(self, source: str, documents: Sequence[DocumentInput], context: RequestContext) -> Job:
        """Accept documents. When this returns they are kept, and will be ingested whoever goes away.

        Raises:
            Overloaded: the tenant, or everybody together, has as many open jobs as may be.
            Unavailable, StorageFull: they cannot be kept; nothing was accepted.
        """
        ...

    async def job(self, job_id: str, context: RequestContext) -> Job:
        """How far it is. Raises NotFound."""
        ...

    async def jobs(self, context: RequestContext) -> tuple[Job, ...]:
        """The tenant's jobs, the newest first: open ones, and as many finished ones as are kept."""
        ...

    async def cancel_job(self, job_id: str, context: RequestContext) -> Job:
        """Let it end before its next documents; those that are done stay. Raises NotFound."""
        ...
