"""Posted documents behind real servers and sockets: clients that leave, several ingresses, replicas that die."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from configs.schema import (
    ChunkingConfig,
    IngressConfig,
    JobsConfig,
    KnowledgeConfig,
    MemoryStoreConfig,
    MockEmbedder,
)
from serve_app.engines.embedding_edge import EmbeddingEdge
from serve_app.engines.mock import MockTextEmbedder
from serve_app.ingress.app import create_app
from serve_app.ingress.routes import knowledge_jobs
from serve_app.ingress.services import Services
from serve_app.retrieval.jobs.runner import Jobs
from serve_app.retrieval.jobs.sqlite_jobs import SqliteJobs
from serve_app.retrieval.knowledge import KnowledgeBase
from serve_app.retrieval.sqlite_manifest import SqliteManifest
from serve_app.retrieval.stores.memory_store import MemoryStore

CONFIG = KnowledgeConfig(
    store=MemoryStoreConfig(kind="memory"), chunking=ChunkingConfig(max_tokens=64, overlap_tokens=0)
)
GENEROUS_S = 120.0  # for what must merely happen


class Gated(EmbeddingEdge):
    """The mock embedder, which embeds when it may."""

    def __init__(self) -> None:
        super().__init__(MockTextEmbedder(MockEmbedder(engine="mock", name="mock", dim=16)))
        self.go = asyncio.Event()
        self.go.set()
        self.began = asyncio.Event()

    async def embed(self, texts: Any, context: Any, **options: Any) -> Any:
        self.began.set()
        await self.go.wait()
        return await super().embed(texts, context, **options)


class World:
    """A base and its jobs, which outlive the servers in front of them."""

    def __init__(self, folder: Path) -> None:
        self.embedder = Gated()
        self._folder = folder
        self._manifest = SqliteManifest(None)
        self.base = KnowledgeBase(CONFIG, MemoryStore(), self._manifest, self.embedder)
        self.jobs = self.open_jobs()

    def open_jobs(self) -> Jobs:
        store = SqliteJobs(self._folder / "jobs.sqlite")
        return Jobs(self.base, store, JobsConfig(), lambda: datetime.now(UTC))

    async def close(self) -> None:
        self.embedder.go.set()
        await self.jobs.close()
        await self.base.close()


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(knowledge_jobs, "POLL_EVERY_S", 0.01)
    made = World(tmp_path)
    yield made
    await made.close()


@asynccontextmanager
async def ingress(world: World) -> AsyncIterator[httpx.AsyncClient]:
    """An ingress on loopback, and a client of it."""
    services = Services(
        models={},
        embedders={},
        agents={},
        knowledge=world.base,
        cards={},
        jobs=world.jobs,  # type: ignore[arg-type]
    )
    app = create_app(IngressConfig(), services)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", ws="none"))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        async with httpx.AsyncClient(base_url=url, timeout=GENEROUS_S, trust_env=False) as client:
            yield client
    finally:
        server.should_exit = True
        await serving
        listener.close()


def files(num: int) -> list[tuple[str, tuple[str, bytes, str]]]:
    return [
        ("file", (f"n{at}.md", f"# Manta {at}\n\nIt glides over reef {at}.".encode(), "text/markdown"))
        for at in range(num)
    ]


async def post(client: httpx.AsyncClient, num: int) -> str:
    answer = await client.post("/v1/knowledge/documents", data={"source": "docs"}, files=files(num))
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["id"]
    return job_id


async def events(client: httpx.AsyncClient, job_id: str) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    async with client.stream("GET", f"/v1/knowledge/jobs/{job_id}/events") as response:
        name = ""
        async for line in response.aiter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                yield name, json.loads(line.removeprefix("data: "))


async def test_what_was_posted_is_found_and_its_progress_told(world: World) -> None:
    async with ingress(world) as client:
        job_id = await post(client, 20)
        told = [(name, data["num_done"]) async for name, data in events(client, job_id)]
        assert told[-1] == ("job.finished", 20)
        assert [done for _, done in told] == sorted(done for _, done in told)
        found = await client.post("/v1/knowledge/search", json={"query": "reef 13", "k": 20})
        assert "n13.md" in [one["path"] for one in found.json()["data"]]


async def test_a_client_that_leaves_changes_nothing(world: World) -> None:
    world.embedder.go.clear()
    async with ingress(world) as client, ingress(world) as other:
        job_id = await post(client, 10)
        await world.embedder.began.wait()
        async for _ in events(client, job_id):
            break  # the stream is closed by its client
        assert (await other.get(f"/v1/knowledge/jobs/{job_id}")).json()["status"] == "running"
        await client.aclose()
        world.embedder.go.set()
        async with asyncio.timeout(GENEROUS_S):
            last = [data async for _, data in events(other, job_id)][-1]
        assert (last["status"], last["counts"]) == ("done", {"added": 10})


async def test_a_job_is_cancelled_from_another_ingress(world: World) -> None:
    world.embedder.go.clear()
    async with ingress(world) as client, ingress(world) as other:
        job_id = await post(client, 30)
        await world.embedder.began.wait()
        assert (await other.post(f"/v1/knowledge/jobs/{job_id}/cancel")).json()["is_cancel_wanted"]
        world.embedder.go.set()
        last = [data async for _, data in events(client, job_id)][-1]
        assert (last["status"], last["num_done"]) == ("cancelled", 8)
        status = (await client.get("/v1/knowledge/status")).json()
        assert status["num_documents"] == 8  # what was counted as done is stored


async def test_a_job_goes_on_after_its_replica_died(world: World) -> None:
    world.embedder.go.clear()
    async with ingress(world) as client:
        job_id = await post(client, 12)
        await world.embedder.began.wait()
    await world.jobs.close()  # as a replica ends: in the middle of its work
    world.embedder.go.set()
    world.jobs = world.open_jobs()
    world.jobs.start()
    async with ingress(world) as client:
        last = [data async for _, data in events(client, job_id)][-1]
        assert (last["status"], last["num_done"]) == ("done", 12)
        assert (await client.get("/v1/knowledge/status")).json()["num_documents"] == 12


async def test_a_body_that_breaks_off_leaves_no_job(world: World) -> None:
    async with ingress(world) as client:
        host, port = client.base_url.host, client.base_url.port
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(
            b"POST /v1/knowledge/documents HTTP/1.1\r\nhost: x\r\ncontent-length: 9999\r\n"
            b"content-type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
            b'Content-Disposition: form-data; name="file"; filename="a.md"\r\n\r\nhalf of'
        )
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        assert (await client.get("/v1/knowledge/jobs")).json()["data"] == []
        del reader
