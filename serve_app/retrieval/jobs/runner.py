"""Takes jobs in, and does them: a few documents at a time, noting after each few how far it is.

A job is done by the replica that accepted it. One whose replica went away is taken over, from where it
was, by the first replica that finds it: documents that were stored by then count as unchanged.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from configs.schema import JobsConfig
from serve_app.errors import DeadlineExceeded, MantaError, NotFound, Overloaded, Unavailable
from serve_app.messages import (
    Deadline,
    DocumentInput,
    DocumentOutcome,
    DocumentStatus,
    Priority,
    RequestContext,
)
from serve_app.retrieval.drafts import check_name
from serve_app.retrieval.jobs.base import Job, JobStatus, JobStore

logger = logging.getLogger("manta.retrieval")

_DOCUMENTS_AT_ONCE = 8
_MAX_FAILED_SHOWN = 100
_STEP_TIMEOUT_S = 600.0  # of a few documents
_LEASE_WAIT_S = 0.5
_RETRY_AFTER_S = 10.0
_WAITS_S = (1.0, 2.0, 5.0, 15.0, 30.0)  # where the base or the embedder is not there, before a job gives up


class Base(Protocol):
    """What jobs need of the knowledge base."""

    async def put_documents(
        self, source: str, documents: Sequence[DocumentInput], context: RequestContext
    ) -> tuple[DocumentOutcome, ...]: ...

    def syncing(self, tenant: str, source: str, deadline: Deadline) -> AbstractAsyncContextManager[None]:
        """Be the only replica that does what is called so. Raises Unavailable: another one does."""
        ...


class Jobs:
    """A JobsClient over a base in this process.

    Args:
        base: where the documents go.
        store: where jobs are kept.
        config: how many there may be.
        now: the time, in UTC.
        sleep: waits.
    """

    def __init__(
        self,
        base: Base,
        store: JobStore,
        config: JobsConfig,
        now: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._base = base
        self._store = store
        self._config = config
        self._now = now
        self._sleep = sleep
        self._places = asyncio.Semaphore(config.max_running)
        self._accepting = asyncio.Lock()  # so that what is counted stays true
        self._tasks: dict[str, asyncio.Task[None]] = {}  # job id -> who does it
        self._resuming: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look for jobs whose replica went away, now and every so often. Inside a running loop."""
        self._resuming = asyncio.create_task(self._keep_resuming())

    async def submit(self, source: str, documents: Sequence[DocumentInput], context: RequestContext) -> Job:
        check_name(source, "source")
        now = self._stamp()
        job = Job(
            id=f"job-{uuid.uuid4().hex}",
            tenant=context.tenant,
            source=source,
            status=JobStatus.QUEUED,
            num_documents=len(documents),
            num_bytes=sum(len(one.content) for one in documents),
            created_at=now,
            updated_at=now,
        )
        async with self._accepting:
            await self._check_room(context.tenant)
            await self._store.add(job, documents)
        self._begin(job)
        return job

    async def job(self, job_id: str, context: RequestContext) -> Job:
        return _there(await self._store.get(context.tenant, job_id), job_id)

    async def jobs(self, context: RequestContext) -> tuple[Job, ...]:
        return tuple(await self._store.of(context.tenant))

    async def cancel_job(self, job_id: str, context: RequestContext) -> Job:
        return _there(await self._store.ask_cancel(context.tenant, job_id), job_id)

    async def resume(self) -> None:
        """Begin every open job that nobody here is at. One that another replica is at stays there."""
        for job in await self._store.open():
            self._begin(job)

    async def settle(self) -> None:
        """Wait for the jobs under way here."""
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def close(self) -> None:
        """Leave jobs where they are: whoever starts next goes on."""
        tasks = [*self._tasks.values(), *([self._resuming] if self._resuming else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._store.close()

    async def _check_room(self, tenant: str) -> None:
        everyones = await self._store.open()
        num_own = sum(job.tenant == tenant for job in everyones)
        if num_own >= self._config.max_open_per_tenant:
            raise Overloaded(
                f"this tenant has {num_own} jobs that are not finished; wait for one", _RETRY_AFTER_S
            )
        if len(everyones) >= self._config.max_open:
            raise Overloaded(f"{len(everyones)} jobs are not finished; wait for one", _RETRY_AFTER_S)

    def _begin(self, job: Job) -> None:
        if job.id not in self._tasks:
            task = self._tasks[job.id] = asyncio.create_task(self._own(job))
            task.add_done_callback(lambda _: self._tasks.pop(job.id, None))

    async def _keep_resuming(self) -> None:
        while True:
            try:
                await self.resume()
            except MantaError as exc:
                logger.warning("open jobs were not looked for: %s", exc)
            await self._sleep(self._config.resume_every_s)

    async def _own(self, job: Job) -> None:
        """Do the job, unless another replica is at it."""
        async with self._places:
            try:
                async with self._base.syncing(job.tenant, job.id, Deadline.after(_LEASE_WAIT_S)):
                    current = await self._store.get(job.tenant, job.id)
                    if current is not None and current.is_open:
                        await self._finish(current)
                await self._forget_old(job.tenant)
            except MantaError as exc:  # it stays open, and is resumed
                logger.warning("%s is left for later: %s", job.id, exc)

    async def _finish(self, job: Job) -> None:
        job = await self._note(job, status=JobStatus.RUNNING)
        while job.num_done < job.num_documents and not job.is_cancel_wanted:
            documents = await self._store.documents(job, job.num_done, _DOCUMENTS_AT_ONCE)
            try:
                outcomes = await self._put(job, documents)
            except MantaError as exc:
                logger.warning("%s has failed: %s", job.id, exc)
                await self._note(job, status=JobStatus.FAILED, reason=exc.message)
                return
            job = await self._note(
                job,
                num_done=job.num_done + len(documents),
                counts=_counted(job, outcomes),
                failed=_failures(job, outcomes),
            )
        is_done = job.num_done == job.num_documents
        await self._note(job, status=JobStatus.DONE if is_done else JobStatus.CANCELLED)

    async def _put(self, job: Job, documents: Sequence[DocumentInput]) -> Sequence[DocumentOutcome]:
        """Store the documents; a base or an embedder that is away is waited for."""
        for wait_s in (*_WAITS_S, None):
            context = RequestContext(job.id, job.tenant, Deadline.after(_STEP_TIMEOUT_S), Priority.BATCH)
            try:
                return await self._base.put_documents(job.source, documents, context)
            except (Unavailable, Overloaded, DeadlineExceeded) as exc:
                if wait_s is None:
                    raise
                logger.warning("%s waits: %s", job.id, exc)
                await self._sleep(wait_s)
        raise AssertionError  # the last wait is None

    async def _note(self, job: Job, **changes: object) -> Job:
        return await self._store.update(replace(job, updated_at=self._stamp(), **changes))  # type: ignore[arg-type]

    async def _forget_old(self, tenant: str) -> None:
        finished = [job for job in await self._store.of(tenant) if not job.is_open]
        for job in finished[self._config.num_kept :]:
            await self._store.forget(job)

    def _stamp(self) -> str:
        return self._now().isoformat(timespec="milliseconds")


def _there(job: Job | None, job_id: str) -> Job:
    if job is None:
        raise NotFound(f"there is no job {job_id!r}")
    return job


def _counted(job: Job, outcomes: Sequence[DocumentOutcome]) -> dict[str, int]:
    counts = Counter(job.counts) + Counter(str(outcome.status) for outcome in outcomes)
    return dict(sorted(counts.items()))


def _failures(job: Job, outcomes: Sequence[DocumentOutcome]) -> tuple[tuple[str, str], ...]:
    new = [(one.path, one.reason) for one in outcomes if one.status is DocumentStatus.FAILED]
    return (*job.failed, *new)[:_MAX_FAILED_SHOWN]
