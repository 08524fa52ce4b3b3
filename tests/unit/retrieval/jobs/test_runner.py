from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from configs.schema import JobsConfig
from serve_app.errors import BadRequest, EngineFailed, NotFound, Overloaded, Unavailable
from serve_app.messages import Deadline, DocumentInput, DocumentOutcome, DocumentStatus, RequestContext
from serve_app.retrieval.jobs.base import JobStatus
from serve_app.retrieval.jobs.runner import Jobs
from serve_app.retrieval.jobs.sqlite_jobs import SqliteJobs

NOW = datetime(2026, 11, 21, tzinfo=UTC)


@dataclass
class Base:
    """Takes documents, one call at a time if it is told to wait; fails as it is told to."""

    taken: list[str] = field(default_factory=list)
    contexts: list[RequestContext] = field(default_factory=list)
    errors: list[Exception | None] = field(default_factory=list)  # of the next calls
    go: asyncio.Event = field(default_factory=asyncio.Event)
    began: asyncio.Event = field(default_factory=asyncio.Event)
    held_elsewhere: bool = False

    def __post_init__(self) -> None:
        self.go.set()

    async def put_documents(
        self, source: str, documents: Sequence[DocumentInput], context: RequestContext
    ) -> tuple[DocumentOutcome, ...]:
        self.began.set()
        await self.go.wait()
        self.contexts.append(context)
        if self.errors and (error := self.errors.pop(0)) is not None:
            raise error
        self.taken += [one.path for one in documents]
        return tuple(
            DocumentOutcome(one.path, DocumentStatus.FAILED, reason="is broken")
            if b"broken" in one.content
            else DocumentOutcome(one.path, DocumentStatus.ADDED, "id", 1, 1)
            for one in documents
        )

    @asynccontextmanager
    async def syncing(self, tenant: str, source: str, deadline: Deadline) -> AsyncIterator[None]:
        if self.held_elsewhere:
            raise Unavailable("another replica does it")
        yield


class World:
    """Jobs over a base and a store that outlive them."""

    def __init__(self) -> None:
        self.base = Base()
        self.store = SqliteJobs(None)
        self.waited: list[float] = []
        self.opened: list[Jobs] = []

    def open(self, **config: Any) -> Jobs:
        async def sleep(seconds: float) -> None:
            self.waited.append(seconds)

        jobs = Jobs(self.base, self.store, JobsConfig(**config), lambda: NOW, sleep)
        self.opened.append(jobs)
        return jobs


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    made.base.go.set()
    for jobs in made.opened:
        await jobs.close()


def documents(num: int, text: bytes = b"text") -> list[DocumentInput]:
    return [DocumentInput(f"n{at}.md", text) for at in range(num)]


async def test_a_job_is_done_whoever_watches(world: World, context: RequestContext) -> None:
    jobs = world.open()
    posted = [*documents(19), DocumentInput("bad.md", b"broken")]
    accepted = await jobs.submit("docs", posted, context)
    assert (accepted.status, accepted.num_documents) == (JobStatus.QUEUED, 20)
    await jobs.settle()
    done = await jobs.job(accepted.id, context)
    assert (done.status, done.num_done) == (JobStatus.DONE, 20)
    assert (done.counts, done.failed) == ({"added": 19, "failed": 1}, (("bad.md", "is broken"),))
    assert world.base.taken == [one.path for one in posted]
    assert {one.tenant for one in world.base.contexts} == {context.tenant}
    assert await jobs.jobs(context) == (done,)


async def test_other_tenants_do_not_see_it(world: World, context: RequestContext) -> None:
    jobs = world.open()
    job = await jobs.submit("docs", documents(1), context)
    other = replace(context, tenant="other")
    assert await jobs.jobs(other) == ()
    for asked in (jobs.job(job.id, other), jobs.cancel_job(job.id, other)):
        with pytest.raises(NotFound, match=job.id):
            await asked


async def test_a_cancelled_job_ends_before_its_next_documents(world: World, context: RequestContext) -> None:
    jobs = world.open()
    world.base.go.clear()
    job = await jobs.submit("docs", documents(20), context)
    await world.base.began.wait()
    assert (await jobs.cancel_job(job.id, context)).is_cancel_wanted
    world.base.go.set()
    await jobs.settle()
    ended = await jobs.job(job.id, context)
    assert (ended.status, ended.num_done, len(world.base.taken)) == (JobStatus.CANCELLED, 8, 8)


async def test_there_are_only_so_many_open_jobs(world: World, context: RequestContext) -> None:
    jobs = world.open(max_open_per_tenant=2, max_open=3)
    world.base.go.clear()
    for _ in range(2):
        await jobs.submit("docs", documents(1), context)
    with pytest.raises(Overloaded, match="this tenant has 2 jobs that are not finished"):
        await jobs.submit("docs", documents(1), context)
    await jobs.submit("docs", documents(1), replace(context, tenant="other"))
    with pytest.raises(Overloaded, match="3 jobs are not finished"):
        await jobs.submit("docs", documents(1), replace(context, tenant="third"))
    world.base.go.set()
    await jobs.settle()
    await jobs.submit("docs", documents(1), context)


async def test_a_base_that_is_away_is_waited_for(world: World, context: RequestContext) -> None:
    world.base.errors = [Unavailable("the embedder is down"), Overloaded("full")]
    jobs = world.open()
    job = await jobs.submit("docs", documents(3), context)
    await jobs.settle()
    assert (await jobs.job(job.id, context)).status is JobStatus.DONE
    assert world.waited == [1.0, 2.0]


async def test_a_job_that_cannot_go_on_says_why_and_keeps_what_is_done(
    world: World, context: RequestContext
) -> None:
    world.base.errors = [None, EngineFailed("the model is of another kind")]
    jobs = world.open()
    job = await jobs.submit("docs", documents(12), context)
    await jobs.settle()
    failed = await jobs.job(job.id, context)
    assert (failed.status, failed.reason) == (JobStatus.FAILED, "the model is of another kind")
    assert (failed.num_done, failed.counts) == (8, {"added": 8})


async def test_a_job_whose_replica_went_away_is_gone_on_with(world: World, context: RequestContext) -> None:
    first = world.open()
    world.base.go.clear()
    job = await first.submit("docs", documents(20), context)
    await world.base.began.wait()
    for task in first._tasks.values():
        task.cancel()
    await asyncio.gather(*first._tasks.values(), return_exceptions=True)
    assert (await first.job(job.id, context)).is_open
    world.base.go.set()
    second = world.open()
    await second.resume()
    await second.resume()  # once is enough
    await second.settle()
    assert (await second.job(job.id, context)).status is JobStatus.DONE
    assert len(world.base.taken) == 20


async def test_a_job_that_another_replica_is_at_is_left_to_it(world: World, context: RequestContext) -> None:
    world.base.held_elsewhere = True
    jobs = world.open()
    job = await jobs.submit("docs", documents(2), context)
    await jobs.settle()
    assert (await jobs.job(job.id, context)).status is JobStatus.QUEUED
    assert world.base.taken == []


async def test_old_jobs_are_forgotten(world: World, context: RequestContext) -> None:
    jobs = world.open(num_kept=1)
    last = ""
    for _ in range(3):
        last = (await jobs.submit("docs", documents(1), context)).id
        await jobs.settle()
    assert [one.id for one in await jobs.jobs(context)] == [last]


async def test_a_source_without_a_name_is_refused(world: World, context: RequestContext) -> None:
    with pytest.raises(BadRequest, match="source"):
        await world.open().submit(" ", documents(1), context)
