"""What an OpenSearch that breaks does to the knowledge base. Every fault is done to a real server."""

from __future__ import annotations

import asyncio
import json
import signal
import time
import urllib.request
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.schema import ChunkingConfig, KnowledgeConfig, MockEmbedder, OpenSearchStoreConfig
from serve_app.engines.embedding_edge import EmbeddingEdge
from serve_app.engines.mock import MockTextEmbedder
from serve_app.errors import DeadlineExceeded, MantaError, Overloaded, StorageFull, Unavailable
from serve_app.messages import Deadline, DocumentInput, RequestContext, SearchQuery
from serve_app.retrieval.base import Chunk
from serve_app.retrieval.knowledge import KnowledgeBase, open_knowledge
from serve_app.retrieval.stores.opensearch import mapping
from serve_app.retrieval.stores.opensearch.client import Client
from serve_app.retrieval.stores.opensearch.leases import OpenSearchLeases
from serve_app.retrieval.stores.opensearch.ledger import Ledger
from serve_app.retrieval.stores.opensearch.store import OpenSearchStore
from serve_app.retrieval.writer import REINDEX

pytestmark = [pytest.mark.services, pytest.mark.timeout(900)]  # each starts a server or two

VECTOR = np.array([1.0, 0.0, 0.0, 0.0], np.float32)
ACME = "acme"


@pytest.fixture(scope="module")
def node(new_opensearch_node: Callable[[], Any]) -> Iterator[Any]:
    """A server of this file's own, which its tests break and mend."""
    started = new_opensearch_node()
    started.start()
    try:
        yield started
    finally:
        started.end(signal.SIGKILL)


@pytest.fixture
def config(node: Any) -> OpenSearchStoreConfig:
    return OpenSearchStoreConfig(
        kind="opensearch",
        url=node.url,
        index=f"faults-{uuid.uuid4().hex[:8]}",
        bulk_max_chunks=50,
        request_timeout_s=20.0,
        breaker_failures=3,
        breaker_pause_s=0.5,
        lease_s=3.0,
    )


@pytest.fixture
async def store(config: OpenSearchStoreConfig) -> AsyncIterator[OpenSearchStore]:
    opened = OpenSearchStore(config, Client(config))
    yield opened
    await opened.close()


def chunks(num: int) -> list[Chunk]:
    return [
        Chunk(
            id=f"{number:05}",
            tenant=ACME,
            document_id="d",
            source="docs",
            path="a.md",
            title="Guide",
            headings=(),
            text=f"text {number} about rays and reefs",
            ordinal=number,
            page=None,
            media_type="text/plain",
            chunk_hash=str(number),
            vector=VECTOR,
            embedding_id="model",
        )
        for number in range(num)
    ]


def ask(node: Any, method: str, path: str, body: Any = None) -> Any:
    request = urllib.request.Request(
        f"{node.url}{path}",
        None if body is None else json.dumps(body).encode(),
        {"Content-Type": "application/json"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read() or b"null")


async def mended(work: Callable[[], Any], within_s: float = 120.0) -> Any:
    """The result of what works again, once it does."""
    deadline_s = time.monotonic() + within_s
    while True:
        try:
            return await work()
        except (Unavailable, DeadlineExceeded):
            assert time.monotonic() < deadline_s
            await asyncio.sleep(0.2)


# ---------------------------------------------------------------- killed


async def test_killed_during_a_write_and_back(node: Any, store: OpenSearchStore) -> None:
    """The write fails; what it had done is whole; the same write again leaves every chunk once."""
    written = chunks(3000)
    await store.upsert(written[:100])
    writing = asyncio.create_task(store.upsert(written))
    while (
        ask(node, "GET", f"/{store._generations.alias}-g*/_stats/indexing")["_all"]["total"]["indexing"][
            "index_total"
        ]
        < 300
    ):
        await asyncio.sleep(0.01)
        assert not writing.done()
    await asyncio.to_thread(node.kill)
    with pytest.raises(Unavailable, match=r"cannot be reached|did not answer"):
        await writing
    await asyncio.to_thread(node.start)
    assert await mended(lambda: store.count(ACME)) >= 100
    await store.upsert(written)
    assert await store.chunk_ids(ACME) == {chunk.id for chunk in written}
    assert await store.count(ACME) == 3000


async def test_killed_during_searches_and_back(node: Any, store: OpenSearchStore) -> None:
    """Searches fail in time, then at once; and answer again without anybody's doing."""
    await store.upsert(chunks(20))
    assert len(await store.search_lexical(ACME, "rays", 5, {}, Deadline.after(5.0))) == 5
    await asyncio.to_thread(node.kill)
    for _ in range(3):
        with pytest.raises((Unavailable, DeadlineExceeded)):
            await store.search_lexical(ACME, "rays", 5, {}, Deadline.after(5.0))
    with pytest.raises(Unavailable, match="asked again in") as refused:
        await store.search_lexical(ACME, "rays", 5, {}, Deadline.after(5.0))
    assert 0 < refused.value.retry_after_s <= 0.5
    await asyncio.to_thread(node.start)
    found = await mended(lambda: store.search_dense(ACME, "model", VECTOR, 5, {}, Deadline.after(5.0)))
    assert len(found) == 5


async def test_a_server_that_hangs_costs_no_more_than_the_deadline(node: Any, store: OpenSearchStore) -> None:
    await store.upsert(chunks(20))
    node.send(signal.SIGSTOP)
    try:
        start_s = time.monotonic()
        with pytest.raises((DeadlineExceeded, Unavailable)):
            await store.search_lexical(ACME, "rays", 5, {}, Deadline.after(0.5))
        assert time.monotonic() - start_s < 10.0  # the request's own limit would be 20 s
    finally:
        node.send(signal.SIGCONT)
    assert len(await mended(lambda: store.search_lexical(ACME, "rays", 5, {}))) == 5


# ---------------------------------------------------------------- no room, no writes


async def test_a_server_without_room_is_asked_again_until_it_has(
    node: Any, store: OpenSearchStore, config: OpenSearchStoreConfig
) -> None:
    """429 for every request of some size (its in-flight breaker), lifted while the write waits."""
    await store.upsert(chunks(1))
    limit = {"network.breaker.inflight_requests.limit": "4kb"}
    await asyncio.to_thread(ask, node, "PUT", "/_cluster/settings", {"transient": limit})
    lift = {"transient": dict.fromkeys(limit)}
    try:
        impatient = config.model_copy(update={"max_retries": 1})
        other = OpenSearchStore(impatient, Client(impatient))
        with pytest.raises(Overloaded, match="no room"):
            await other.upsert(chunks(50))
        await other.close()
        writing = asyncio.create_task(store.upsert(chunks(50)))
        await asyncio.sleep(0.1)
        assert not writing.done()
    finally:
        await asyncio.to_thread(ask, node, "PUT", "/_cluster/settings", lift)
    await writing
    assert await store.count(ACME) == 50


async def test_a_full_disk_stops_writes_and_not_searches(node: Any, store: OpenSearchStore) -> None:
    """The block that the server sets at its flood stage."""
    await store.upsert(chunks(5))
    index = f"/{store._generations.alias}/_settings"
    await asyncio.to_thread(ask, node, "PUT", index, {"index.blocks.read_only_allow_delete": True})
    with pytest.raises(StorageFull, match="nearly full"):
        await store.upsert(chunks(6))
    assert len(await store.search_lexical(ACME, "rays", 9, {})) == 5
    await asyncio.to_thread(ask, node, "PUT", index, {"index.blocks.read_only_allow_delete": None})
    await store.upsert(chunks(6))
    assert await store.count(ACME) == 6


async def test_a_read_only_index_is_named(node: Any, store: OpenSearchStore) -> None:
    await store.upsert(chunks(5))
    index = f"/{store._generations.alias}/_settings"
    await asyncio.to_thread(ask, node, "PUT", index, {"index.blocks.write": True})
    with pytest.raises(Unavailable, match="read-only"):
        await store.upsert(chunks(6))
    await asyncio.to_thread(ask, node, "PUT", index, {"index.blocks.write": None})
    await store.upsert(chunks(6))


# ---------------------------------------------------------------- other indices than ours


async def test_an_alias_at_two_indices_is_refused_by_name(node: Any, store: OpenSearchStore) -> None:
    await store.upsert(chunks(5))
    alias = store._generations.alias
    first = (await store.generation()).partition("/")[0]
    await asyncio.to_thread(ask, node, "PUT", f"/{alias}-g000009", {"aliases": {alias: {}}})
    await asyncio.to_thread(
        ask,
        node,
        "POST",
        "/_reindex?refresh=true",
        {"source": {"index": first}, "dest": {"index": f"{alias}-g000009"}},
    )
    for search in (store.search_dense(ACME, "model", VECTOR, 99, {}), store.page(ACME, "", 99, {})):
        with pytest.raises(Unavailable, match=f"{first} and {alias}-g000009"):
            await search
    with pytest.raises(Unavailable, match=f"{first} and {alias}-g000009"):
        await store.generation()
    await asyncio.to_thread(ask, node, "DELETE", f"/{alias}-g000009")
    assert len(await store.search_lexical(ACME, "text", 99, {})) == 5


@pytest.mark.parametrize(
    ("fields", "meta", "reason"),
    [
        ({"embedding": (4, {})}, None, "was not made by Manta"),
        ({}, {"manta": {"layout": 99}}, "has layout 99"),
        ({"vector_0123456789abcdef_4": (8, {})}, {"manta": {"layout": mapping.LAYOUT}}, "dimension 8"),
        (
            {mapping.vector_field("another-model", 4): (4, {})},
            {
                "manta": {
                    "layout": mapping.LAYOUT,
                    "models": {mapping.vector_field("another-model", 4): "model"},
                }
            },
            "of the embedding model model, which it is not",
        ),
    ],
)
async def test_an_index_that_does_not_fit_is_refused_by_name(
    node: Any, store: OpenSearchStore, fields: Any, meta: Any, reason: str
) -> None:
    alias = store._generations.alias
    method = {"name": "hnsw", "engine": "lucene", "space_type": "cosinesimil"}
    properties = {
        name: {"type": "knn_vector", "dimension": dim, "method": method} for name, (dim, _) in fields.items()
    }
    body = {
        "settings": {"index": {"knn": True}},
        "mappings": {"properties": properties} | ({"_meta": meta} if meta else {}),
        "aliases": {alias: {}},
    }
    await asyncio.to_thread(ask, node, "PUT", f"/{alias}-g000001", body)
    for use in (
        store.search_dense(ACME, "model", VECTOR, 5, {}),
        store.search_lexical(ACME, "rays", 5, {}),
        store.upsert(chunks(1)),
        store.generation(),
    ):
        with pytest.raises(Unavailable, match=reason) as refused:
            await use
        assert f"{alias}-g000001" in refused.value.message


# ---------------------------------------------------------------- the knowledge base on it


def opened(config: OpenSearchStoreConfig) -> KnowledgeBase:
    """As one of several replicas would have it."""
    embedder = EmbeddingEdge(MockTextEmbedder(MockEmbedder(engine="mock", name="mock", dim=8)))
    chunking = ChunkingConfig(max_tokens=32, overlap_tokens=0)
    return open_knowledge(KnowledgeConfig(store=config, chunking=chunking), Path("unused"), embedder)


@pytest.fixture
async def closing() -> AsyncIterator[AsyncExitStack]:
    """Closes what a test opened, also when it fails: a client that is left open fails a later test."""
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
async def bases(config: OpenSearchStoreConfig) -> AsyncIterator[tuple[KnowledgeBase, KnowledgeBase]]:
    made = opened(config), opened(config)
    yield made
    for one in made:
        await one.close()


def document(name: str, text: str) -> DocumentInput:
    return DocumentInput(name, f"# {name}\n\n{text}".encode())


async def test_an_index_deleted_behind_our_back_is_filled_again_by_the_next_sync(
    node: Any, config: OpenSearchStoreConfig, bases: tuple[KnowledgeBase, ...], context: RequestContext
) -> None:
    base = bases[0]
    documents = [document("a.md", "Rays glide."), document("b.md", "Reefs grow.")]
    first = await base.put_documents("docs", documents, context)
    assert {one.status for one in first} == {"added"}
    await asyncio.to_thread(ask, node, "DELETE", f"/{config.index}-g*")
    with pytest.raises(Unavailable):
        await base.search(SearchQuery("rays"), context)
    again = await base.put_documents("docs", documents, context)
    assert {one.status for one in again} == {"changed"}
    found = await base.search(SearchQuery("rays"), context)
    assert found.passages[0].path == "a.md"
    assert (await base.status(context)).num_chunks == 2
    unchanged = await base.put_documents("docs", documents, context)
    assert {one.status for one in unchanged} == {"unchanged"}


async def test_replicas_share_one_base(
    bases: tuple[KnowledgeBase, KnowledgeBase], context: RequestContext
) -> None:
    """Both write the same tenant at once; each sees everything; nothing is lost and nothing twice."""

    async def put(base: KnowledgeBase, names: list[str]) -> None:
        for name in names:
            await base.put_documents("docs", [document(name, f"About {name}.")], context)

    await asyncio.gather(
        put(bases[0], [f"a{number}.md" for number in range(4)]),
        put(bases[1], [f"b{number}.md" for number in range(4)]),
    )
    for base in bases:
        assert len(await base.list_documents(context)) == 8
        status = await base.status(context)
        assert (status.num_documents, status.num_chunks, status.generation) == (8, 8, 8)
        found = await base.search(SearchQuery("about", k=20), context)
        assert len({one.path for one in found.passages}) == len(found.passages) == 8
    [gone] = [one.id for one in await bases[0].list_documents(context) if one.path == "a0.md"]
    assert await bases[1].delete_documents([gone], context) == 1
    assert len((await bases[0].search(SearchQuery("about", k=20), context)).passages) == 7


async def test_who_waits_is_told_who_writes_and_a_dead_writer_is_followed(
    bases: tuple[KnowledgeBase, KnowledgeBase], context: RequestContext
) -> None:
    first, second = bases
    await first.put_documents("docs", [document("a.md", "One.")], context)
    leases = first._synchroniser._writer._leases
    holding = leases.hold(context.tenant, None)
    await holding.__aenter__()
    short = replace(context, deadline=Deadline.after(1.0))
    with pytest.raises(Unavailable, match=r"being changed by another replica .*process"):
        await second.put_documents("docs", [document("b.md", "Two.")], short)
    # It dies: it says nothing any more, and gives nothing back.
    for task in asyncio.all_tasks():
        if "_renew" in repr(task.get_coro()):
            task.cancel()
    [outcome] = await second.put_documents("docs", [document("b.md", "Two.")], context)
    assert outcome.status == "added"
    await holding.__aexit__(None, None, None)
    assert len(await first.list_documents(context)) == 2


def failing(request: Callable[..., Any], fails_at: int) -> Callable[..., Any]:
    """The same, until so many were made; from then on none is."""
    num_requests = 0

    async def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal num_requests
        num_requests += 1
        if num_requests >= fails_at:
            raise Unavailable("the power went")
        return await request(*args, **kwargs)

    return counted


async def test_a_sync_that_breaks_anywhere_is_repaired_by_the_next(
    node: Any, config: OpenSearchStoreConfig, context: RequestContext, closing: AsyncExitStack
) -> None:
    """The n-th request of a replica's change fails, for every n: the other replica mends it."""
    fails_at = 0
    documents = [document("a.md", "Rays glide."), document("b.md", "Reefs grow.")]
    while True:
        fails_at += 1
        own = {"index": f"walk-{uuid.uuid4().hex[:8]}", "lease_s": 0.3, "request_timeout_s": 120.0}
        config = config.model_copy(update=own)
        broken, other = opened(config), opened(config)
        closing.push_async_callback(broken.close)
        closing.push_async_callback(other.close)
        await other.put_documents("docs", [document("a.md", "Before."), document("old.md", "Old.")], context)
        client: Any = broken._store._client  # type: ignore[attr-defined]
        client.request = failing(client.request, fails_at)
        is_whole = True
        try:
            await broken.put_documents("docs", documents, context)
        except MantaError:
            is_whole = False
        assert (await other.search(SearchQuery("old", k=9), context)).passages  # it answers all the time
        outcomes = await other.put_documents("docs", documents, context)
        assert {one.status for one in outcomes} <= {"added", "changed", "unchanged"}
        paths = [
            one.path for one in (await other.search(SearchQuery("rays reefs old", k=20), context)).passages
        ]
        assert sorted(paths) == ["a.md", "b.md", "old.md"]
        assert (await other.status(context)).num_chunks == 3
        await closing.aclose()
        await asyncio.to_thread(ask, node, "DELETE", f"/{config.index}-*")
        if is_whole:
            break
    assert fails_at > 8


# ---------------------------------------------------------------- a rebuild that was killed


async def put(base: KnowledgeBase, path: str, text: str, within_s: float = 60.0) -> str:
    context = RequestContext("r", ACME, Deadline.after(within_s))
    [outcome] = await base.put_documents("docs", [DocumentInput(path, text.encode())], context)
    return str(outcome.status)


async def test_a_killed_rebuild_is_mended_by_the_next_writer(
    config: OpenSearchStoreConfig, store: OpenSearchStore, closing: AsyncExitStack
) -> None:
    """The old index is left read-only and a half-made one beside it: whoever writes next makes it good."""
    base = opened(config)
    closing.push_async_callback(base.close)
    assert await put(base, "a.txt", "rays glide") == "added"
    generations = store._generations
    old = await generations.ensure()
    await generations.make(await generations.next_number(), is_live=False)
    await generations.set_read_only(old.index, is_read_only=True)
    assert await put(base, "b.txt", "reefs stand") == "added"
    assert await generations.others(old.index) == []
    context = RequestContext("r", ACME, Deadline.after(60.0))
    found = await base.search(SearchQuery("rays reefs", k=5), context)
    assert {one.path for one in found.passages} == {"a.txt", "b.txt"}


async def test_a_writer_waits_for_a_rebuild_and_is_told_who_makes_it(
    config: OpenSearchStoreConfig, store: OpenSearchStore, closing: AsyncExitStack
) -> None:
    base = opened(config)
    closing.push_async_callback(base.close)
    assert await put(base, "a.txt", "rays glide") == "added"
    old = await store._generations.ensure()
    await store._generations.set_read_only(old.index, is_read_only=True)
    leases = OpenSearchLeases(Ledger(store._client, config), config.lease_s)
    async with leases.hold(REINDEX, None):
        with pytest.raises(Unavailable, match=r"by another replica \(.*process"):
            await put(base, "b.txt", "reefs stand", within_s=1.5)
    assert await put(base, "b.txt", "reefs stand") == "added"


async def test_a_rebuild_whose_index_was_thawed_changes_nothing(
    store: OpenSearchStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was taken for dead, and somebody may have written since."""
    await store.upsert(chunks(20))
    generations = store._generations
    old = await generations.ensure()
    switch = generations.switch

    async def thaw_first(*args: Any) -> None:
        raise AssertionError("it must not come to this")

    monkeypatch.setattr(generations, "switch", thaw_first)
    find = generations.find

    async def thawed_find() -> Any:
        found = await find()
        if found is not None and found.is_frozen:
            await generations.set_read_only(found.index, is_read_only=False)
            return await find()
        return found

    monkeypatch.setattr(generations, "find", thawed_find)
    with pytest.raises(Unavailable, match="made writable"):
        await store.rebuild()
    monkeypatch.setattr(generations, "find", find)
    monkeypatch.setattr(generations, "switch", switch)
    assert (await generations.ensure()).index == old.index
    await store.rebuild()
    assert await store.count(ACME) == 20
