"""What is of Milvus Lite alone: how many of its rows are in no index, and that it opens again."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from store_rows import chunk, ids

from configs.schema import MilvusStoreConfig
from serve_app.retrieval.stores.milvus.lite import MAX_UNFLUSHED
from serve_app.retrieval.stores.milvus.store import MilvusStore

pytest.importorskip("milvus_lite", reason="no Milvus: the extra `milvus` is not installed")

NUM_ROWS = 3 * MAX_UNFLUSHED // 2


def opened(home: Path) -> MilvusStore:
    return MilvusStore(MilvusStoreConfig(kind="milvus", num_partitions=4), home)


@pytest.fixture
async def lite(tmp_path: Path) -> AsyncIterator[MilvusStore]:
    store = opened(tmp_path)
    yield store
    await store.close()


def num_unflushed(store: MilvusStore) -> int:
    """Rows and deletions that Milvus Lite, which runs in this process, has in no file."""
    from milvus_lite.server_manager import server_manager_instance

    database: Any = server_manager_instance._servers[store._uri()][1]
    return sum(collection.count() for collection in database._collections.values())


async def test_few_rows_are_unflushed_however_many_were_written(lite: MilvusStore) -> None:
    backlogs = []
    for number in range(NUM_ROWS):
        await lite.upsert([chunk(f"{number}", f"text {number}")])
        backlogs.append(num_unflushed(lite))
    assert max(backlogs) == MAX_UNFLUSHED - 1
    await lite.upsert([chunk(f"more {number}") for number in range(NUM_ROWS)])
    assert num_unflushed(lite) == 0
    assert await lite.count("acme") == 2 * NUM_ROWS
    assert len(await lite.search_lexical("acme", "text", 3 * NUM_ROWS, {})) == 2 * NUM_ROWS


async def test_few_deletions_are_unflushed_however_many_were_made(lite: MilvusStore) -> None:
    await lite.upsert([chunk(f"{number}") for number in range(NUM_ROWS)])
    await lite.upsert([chunk(f"wiki {number}", source="wiki") for number in range(NUM_ROWS)])
    assert num_unflushed(lite) == 0
    for number in range(NUM_ROWS):
        await lite.delete("acme", [f"{number}"])
        assert num_unflushed(lite) < MAX_UNFLUSHED
    await lite.delete_source("acme", "wiki")
    assert num_unflushed(lite) < MAX_UNFLUSHED
    assert await lite.chunk_ids("acme") == set()
    assert await lite.search_lexical("acme", "text", 5, {}) == []


async def test_what_was_closed_answers_when_it_is_opened_again(tmp_path: Path) -> None:
    store = opened(tmp_path)
    written = chunk("1", "whales")
    await store.upsert([written])
    await store.close()
    again = opened(tmp_path)
    assert ids(await again.search_lexical("acme", "whale", 5, {})) == ["1"]
    assert ids(await again.search_dense("acme", written.embedding_id, written.vector, 5, {})) == ["1"]
    assert await again.chunk_ids("acme") == {"1"}
    await again.upsert([chunk("2", "reefs")])
    await again.delete("acme", ["1"])
    assert await again.chunk_ids("acme") == {"2"}
    await again.close()


async def test_what_a_killed_process_had_not_flushed_is_flushed_at_the_next_start(
    lite: MilvusStore, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    await lite.upsert([chunk(f"{number}", f"text {number}") for number in range(MAX_UNFLUSHED // 2)])
    await lite.delete("acme", ["0"])
    assert num_unflushed(lite) > 0
    home = tmp_path_factory.mktemp("as it was left")
    shutil.copytree(tmp_path, home, dirs_exist_ok=True)  # nothing was closed
    after = opened(home)
    assert await after.count("acme") == MAX_UNFLUSHED // 2 - 1
    assert num_unflushed(after) == 0
    assert len(await after.search_lexical("acme", "text", MAX_UNFLUSHED, {})) == MAX_UNFLUSHED // 2 - 1
    await after.close()


async def test_a_flush_takes_no_row_away_from_a_search_that_has_begun(lite: MilvusStore) -> None:
    await lite.upsert([chunk("first", "word0")])
    last = 0

    async def write() -> None:
        nonlocal last
        for number in range(1, 60):
            part = [chunk(f"{number}-{row}", f"word{number}") for row in range(MAX_UNFLUSHED // 4)]
            await lite.upsert(part)  # each fourth time with a flush of those before, too
            last = number

    async def read() -> int:
        num_reads = 0
        while not writing.done():
            assert len(await lite.search_lexical("acme", f"word{last}", 1, {})) == 1
            num_reads += 1
        return num_reads

    writing = asyncio.create_task(write())
    try:
        assert min(await asyncio.gather(read(), read(), read())) > 0
    finally:
        await writing
    assert await lite.count("acme") == 59 * (MAX_UNFLUSHED // 4) + 1
