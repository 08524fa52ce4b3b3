"""What is of Milvus Lite alone: how many of its rows are in no index, and that it opens again."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from store_rows import chunk, ids

from configs.schema import MilvusStoreConfig
from serve_app.retrieval.stores.milvus import lite as of_lite
from serve_app.retrieval.stores.milvus.lite import MAX_UNFLUSHED
from serve_app.retrieval.stores.milvus.store import MilvusStore

pytest.importorskip("milvus_lite", reason="no Milvus: the extra `milvus` is not installed")

NUM_ROWS = 3 * MAX_UNFLUSHED // 2
LIMIT_S = 60.0  # of a wait that is never as long


@pytest.fixture(autouse=True)
def is_never_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is copied, however slow the machine is."""
    monkeypatch.setattr(of_lite, "QUIET_S", 3600.0)


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


async def test_what_a_copy_that_was_broken_off_has_left_is_dropped_at_the_next_start(tmp_path: Path) -> None:
    store = opened(tmp_path)
    await store.upsert([chunk("1", "whales")])
    before = await store.generation()
    await store._create(f"{before.rpartition('_g')[0]}_g2", 4)
    assert len((await store.generation()).split()) == 2
    await store.close()
    again = opened(tmp_path)
    assert await again.generation() == before
    assert ids(await again.search_lexical("acme", "whale", 5, {})) == ["1"]
    await again.close()


def num_files(home: Path) -> int:
    # Path.rglob would raise where a folder goes while it is looked through, which merging makes happen.
    folders = ((Path(folder), names) for folder, _, names in os.walk(home))
    data = [names for folder, names in folders if folder.match("partitions/*/data")]
    return sum(name.endswith(".parquet") for names in data for name in names)


async def until_merged(home: Path) -> None:
    give_up = time.monotonic() + LIMIT_S
    while num_files(home) > 1:
        assert time.monotonic() < give_up
        await asyncio.sleep(0.02)


async def test_some_time_after_the_last_write_there_is_one_file(
    lite: MilvusStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A word is as rare in the whole as the whole says: in a file of its own it would be everywhere.
    common = [chunk(f"common {number}", "reef fish") for number in range(2 * MAX_UNFLUSHED)]
    rare = [chunk(f"rare {number}", "manta fish") for number in range(MAX_UNFLUSHED)]
    await lite.upsert(common)
    monkeypatch.setattr(of_lite, "QUIET_S", 0.05)
    await lite.upsert(rare)
    assert num_files(tmp_path) > 1
    await until_merged(tmp_path)
    assert await lite.count("acme") == 3 * MAX_UNFLUSHED
    [manta, *_] = await lite.search_lexical("acme", "manta", 5, {})
    [reef, *_] = await lite.search_lexical("acme", "reef", 5, {})
    [fish, *_] = await lite.search_lexical("acme", "fish", 5, {})
    assert manta.score > reef.score > fish.score
    await lite.delete("acme", [one.id for one in common])
    await until_merged(tmp_path)
    assert await lite.chunk_ids("acme") == {one.id for one in rare}


async def test_a_store_that_is_closed_copies_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_lite, "QUIET_S", 0.0)
    for number in range(3):
        store = opened(tmp_path)
        await store.upsert([chunk(f"{number} {row}", "text") for row in range(2 * MAX_UNFLUSHED)])
        await asyncio.sleep(0)  # the copy has begun, or is about to
        await store.close()
    store = opened(tmp_path)
    assert await store.count("acme") == 6 * MAX_UNFLUSHED
    assert len(await store.search_lexical("acme", "text", 10 * MAX_UNFLUSHED, {})) == 6 * MAX_UNFLUSHED
    await store.close()
