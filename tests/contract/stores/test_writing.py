"""What is written, replaced, deleted, paged through and rebuilt, and two writers at once."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
from store_rows import MARK, MODEL, chunk, everything, ids, one_of, vector, whole

from serve_app.retrieval.base import UNREAD, Store


async def test_what_was_written_comes_back_whole(any_store: Store) -> None:
    written = chunk("1", page=3, ordinal=7, metadata={"team": "sea", "year": "2026"})
    await any_store.upsert([written])
    [by_words] = await any_store.search_lexical("acme", "text", 5, {}, reads_vectors=True)
    [of_a_page] = await any_store.page("acme", "", 5, {})
    for found in (by_words.chunk, of_a_page):
        assert whole(found, written) == written
        np.testing.assert_allclose(found.vector, written.vector, atol=1e-6)


async def test_a_hit_has_no_vector_that_nobody_asked_for(any_store: Store) -> None:
    written = chunk("1", page=3, metadata={"team": "sea"})
    await any_store.upsert([written])
    for hits in (
        await any_store.search_lexical("acme", "text", 5, {}),
        await any_store.search_dense("acme", MODEL, written.vector, 5, {}),
    ):
        [hit] = hits
        assert whole(hit.chunk, written) == written
        assert hit.chunk.vector.shape == UNREAD.shape


async def test_an_empty_store_answers(any_store: Store) -> None:
    assert await any_store.search_lexical("acme", "text", 5, {}) == []
    assert await any_store.search_dense("acme", MODEL, vector(1), 5, {}) == []
    assert await any_store.chunk_ids("acme") == set()
    assert await any_store.count("acme") == 0
    await any_store.delete("acme", ["nobody"])
    await any_store.upsert([])
    await any_store.optimize()


async def test_writing_an_id_again_replaces_it(store: Store) -> None:
    await store.upsert([chunk("1", "about whales"), chunk("2", "about reefs")])
    await store.upsert([chunk("1", "about squids"), chunk("1", "about sea slugs")])
    assert await store.count("acme") == 2
    assert ids(await store.search_lexical("acme", "whales", 5, {})) == []
    assert ids(await store.search_lexical("acme", "squids", 5, {})) == []
    assert ids(await store.search_lexical("acme", "slug", 5, {})) == ["1"]


async def test_deleted_chunks_are_gone_and_others_stay(store: Store) -> None:
    await store.upsert([chunk(str(number), f"text {number}") for number in range(10)])
    await store.delete("acme", ["0", "1", "1", "nobody"])
    assert await store.chunk_ids("acme") == {str(number) for number in range(2, 10)}
    assert "0" not in ids(await store.search_lexical("acme", "text", 20, {}))
    assert "0" not in await everything(store, "acme")


async def test_deleting_needs_the_right_tenant(any_store: Store) -> None:
    await any_store.upsert([chunk("1")])
    await any_store.delete("other", ["1"])
    assert await any_store.chunk_ids("acme") == {"1"}


async def test_pages_hold_every_chunk_once(any_store: Store) -> None:
    written = [f"{number:03}" for number in range(45)] + ["a", "Z", "é", "日"]
    await any_store.upsert([chunk(one, source="even" if len(one) % 2 else "odd") for one in written])
    await any_store.upsert([chunk("other", tenant="other")])
    seen: list[str] = []
    while page := await any_store.page("acme", seen[-1] if seen else "", 10, {}):
        assert len(page) <= 10
        seen += [one.id for one in page]
    assert seen == sorted(written)
    filtered = await any_store.page("acme", "010", 5, one_of(source="even"))
    assert [one.id for one in filtered] == ["011", "012", "013", "014", "015"]
    [first] = await any_store.page("acme", "", 1, {})
    assert replace(first, vector=MARK) == replace(chunk("000", source="even"), vector=MARK)


async def test_a_source_is_deleted_as_a_whole(any_store: Store) -> None:
    await any_store.delete_source("acme", "docs")
    await any_store.upsert([chunk("1"), chunk("2", source="wiki"), chunk("3", tenant="other")])
    await any_store.delete_source("acme", "docs")
    await any_store.delete_source("acme", "nothing")
    assert await any_store.chunk_ids("acme") == {"2"}
    assert await any_store.chunk_ids("other") == {"3"}
    assert ids(await any_store.search_lexical("acme", "text", 5, {})) == ["2"]


async def test_a_rebuild_keeps_everything_and_answers_all_the_time(any_store: Store) -> None:
    await any_store.upsert([chunk(f"{number}", f"text {number}") for number in range(30)])
    await any_store.upsert([chunk("b", vector=vector(3, dim=4), embedding_id="model-b")])
    before = await any_store.generation()
    rebuilding = asyncio.create_task(any_store.rebuild())
    num_reads = 0
    while not rebuilding.done():
        assert len(await any_store.search_lexical("acme", "text", 40, {})) == 31
        num_reads += 1
        await asyncio.sleep(0)
    await rebuilding
    after = await any_store.generation()
    assert await any_store.count("acme") == 31
    assert len(await everything(any_store, "acme")) == 30
    assert ids(await any_store.search_dense("acme", "model-b", vector(3, dim=4), 5, {})) == ["b"]
    await any_store.upsert([chunk("new", "of the new index")])
    assert "new" in ids(await any_store.search_lexical("acme", "index", 5, {}))
    await any_store.rebuild()
    assert await any_store.count("acme") == 32
    assert num_reads
    assert (before == after) == (type(any_store).__name__ in ("MemoryStore", "LanceDbStore"))


async def test_the_generation_stays_while_nothing_is_rebuilt(store: Store) -> None:
    first = await store.generation()
    assert await store.generation() == first
    await store.upsert([chunk("1")])
    second = await store.generation()
    await store.upsert([chunk("2")])
    await store.delete("acme", ["1"])
    assert await store.generation() == second


async def test_readers_and_writers_at_once(store: Store) -> None:
    """Two writers and four readers: nobody fails, nothing is lost, a replaced chunk never vanishes."""
    await store.upsert([chunk("anchor", "anchor stays")])

    async def write(writer: int) -> None:
        for turn in range(12):
            await store.upsert(
                [chunk(f"{writer}-{turn}", f"text {turn}"), chunk("anchor", f"anchor stays {turn}")]
            )
            if turn % 3 == 2:
                await store.delete("acme", [f"{writer}-{turn}"])

    async def read() -> None:
        while not done.is_set():
            assert "anchor" in ids(await store.search_lexical("acme", "anchor", 5, {}))
            assert "anchor" in await everything(store, "acme")
            await asyncio.sleep(0)  # the memory store never waits by itself

    done = asyncio.Event()
    readers = [asyncio.create_task(read()) for _ in range(4)]
    await asyncio.gather(write(0), write(1))
    done.set()
    await asyncio.gather(*readers)
    expected = {f"{writer}-{turn}" for writer in (0, 1) for turn in range(12) if turn % 3 != 2}
    assert await store.chunk_ids("acme") == expected | {"anchor"}
