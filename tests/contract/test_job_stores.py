"""What everything that keeps jobs must do."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from configs.schema import OpenSearchStoreConfig
from serve_app.errors import MantaError
from serve_app.messages import DocumentInput
from serve_app.retrieval.jobs.base import Job, JobStatus, JobStore
from serve_app.retrieval.jobs.sqlite_jobs import SqliteJobs
from serve_app.retrieval.stores.opensearch.client import Client
from serve_app.retrieval.stores.opensearch.jobs import OpenSearchJobs
from serve_app.retrieval.stores.opensearch.ledger import Ledger

DOCUMENTS = [
    DocumentInput("a.md", b"# A", "text/markdown", {"team.x": "sea"}, "etag:1"),
    DocumentInput("b/ü日.pdf", b"%PDF\x00\xff", None),
    DocumentInput("c.md", b""),
]


@pytest.fixture(params=["sqlite", "memory", pytest.param("opensearch", marks=pytest.mark.services)])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[JobStore]:
    if request.param != "opensearch":
        opened = SqliteJobs(tmp_path / "deep" / "jobs.sqlite" if request.param == "sqlite" else None)
        yield opened
        await opened.close()
        return
    url = request.getfixturevalue("opensearch_url")
    index = f"contract-{uuid.uuid4().hex[:12]}"
    config = OpenSearchStoreConfig(kind="opensearch", url=url, index=index, request_timeout_s=120.0)
    client = Client(config)
    jobs = OpenSearchJobs(Ledger(client, config))
    yield jobs
    with contextlib.suppress(MantaError):
        await client.request("DELETE", f"/{config.index}-manifest", what="cleaning up")
    await jobs.close()


def job(job_id: str, tenant: str = "acme", at: int = 0, **changes: Any) -> Job:
    when = f"2026-11-21T12:00:{at:02}.000+00:00"
    made = Job(job_id, tenant, "docs", JobStatus.QUEUED, len(DOCUMENTS), 10, when, when)
    return replace(made, **changes)


async def test_a_job_is_kept_with_its_documents(store: JobStore) -> None:
    assert await store.get("acme", "j1") is None
    assert await store.open() == []
    await store.add(job("j1"), DOCUMENTS)
    assert await store.get("acme", "j1") == job("j1")
    assert await store.documents(job("j1"), 0, 9) == DOCUMENTS
    assert await store.documents(job("j1"), 1, 1) == DOCUMENTS[1:2]


async def test_tenants_see_their_own_the_newest_first(store: JobStore) -> None:
    await store.add(job("j1", at=1), DOCUMENTS)
    await store.add(job("j2", at=2), DOCUMENTS)
    await store.add(job("j3", "other", at=3), DOCUMENTS)
    assert [one.id for one in await store.of("acme")] == ["j2", "j1"]
    assert [one.id for one in await store.open()] == ["j1", "j2", "j3"]
    assert await store.get("other", "j1") is None
    assert await store.ask_cancel("other", "j1") is None


async def test_progress_keeps_a_wish_to_cancel_that_came_meanwhile(store: JobStore) -> None:
    await store.add(job("j1"), DOCUMENTS)
    asked = await store.ask_cancel("acme", "j1")
    assert asked is not None
    assert asked.is_cancel_wanted
    running = job("j1", status=JobStatus.RUNNING, num_done=1, counts={"added": 1}, failed=(("a.md", "why"),))
    noted = await store.update(running)
    assert noted == replace(running, is_cancel_wanted=True)
    assert await store.get("acme", "j1") == noted


async def test_a_finished_job_is_told_of_until_it_is_forgotten(store: JobStore) -> None:
    await store.add(job("j1"), DOCUMENTS)
    done = await store.update(job("j1", status=JobStatus.DONE, num_done=3))
    assert await store.open() == []
    assert await store.of("acme") == [done]
    late = await store.ask_cancel("acme", "j1")
    assert late is not None
    assert not late.is_cancel_wanted
    with contextlib.suppress(MantaError):  # the documents are gone, however a store says so
        assert await store.documents(done, 0, 9) == []
    await store.forget(done)
    assert await store.get("acme", "j1") is None


async def test_jobs_survive_the_process(tmp_path: Path) -> None:
    first = SqliteJobs(tmp_path / "jobs.sqlite")
    await first.add(job("j1"), DOCUMENTS)
    await first.close()
    second = SqliteJobs(tmp_path / "jobs.sqlite")
    assert await second.open() == [job("j1")]
    assert await second.documents(job("j1"), 0, 9) == DOCUMENTS
    await second.close()
