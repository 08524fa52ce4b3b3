"""What only the store on disk has to do: survive, stay small, and name what is wrong with its folder."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serve_app.errors import StorageFull, Unavailable
from serve_app.retrieval.base import Chunk
from serve_app.retrieval.stores.lance import rows
from serve_app.retrieval.stores.lance.store import LanceDbStore


def chunk(chunk_id: str, text: str) -> Chunk:
    vector = np.zeros(64, np.float32)
    vector[0] = 1.0
    return Chunk(
        id=chunk_id,
        tenant="acme",
        document_id="d",
        source="docs",
        path="a.md",
        title="t",
        headings=(),
        text=text,
        ordinal=0,
        page=None,
        media_type="text/plain",
        chunk_hash=text,
        vector=vector,
        embedding_id="model",
    )


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


async def test_chunks_survive_closing(tmp_path: Path) -> None:
    store = LanceDbStore(tmp_path / "db-like name")
    await store.upsert([chunk("1", "whales")])
    await store.close()
    await store.close()
    again = LanceDbStore(tmp_path / "db-like name")
    assert await again.chunk_ids("acme") == {"1"}
    assert len(await again.search_lexical("acme", "whale", 5, {})) == 1
    await again.close()


async def test_the_folder_does_not_grow_with_rewriting(tmp_path: Path) -> None:
    store = LanceDbStore(tmp_path, keep_versions=timedelta(milliseconds=1))
    texts = [f"text {number} " * 200 for number in range(50)]

    async def rewrite(num_times: int) -> int:
        for turn in range(num_times):
            await store.upsert([chunk(f"{number}", f"{turn} {text}") for number, text in enumerate(texts)])
        await store.optimize()
        return size(tmp_path)

    first = await rewrite(2)
    assert await rewrite(60) < 2 * first
    assert await store.count("acme") == 50
    await store.close()


async def test_rows_are_indexed_without_being_asked_to(tmp_path: Path) -> None:
    store = LanceDbStore(tmp_path)
    for number in range(25):
        await store.upsert([chunk(f"{number}", f"text {number}")])
    table: Any = store._table
    index = await table.index_stats("lexical_idx")
    assert index.num_unindexed_rows < 25
    await store.close()


async def test_a_write_that_is_done_does_not_fail_because_of_the_indices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = LanceDbStore(tmp_path)
    await store.upsert([chunk("1", "whales")])

    async def fail(**options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store._table, "optimize", fail)
    for number in range(25):
        await store.upsert([chunk(f"{number}", f"whale {number}")])
    assert await store.count("acme") == 25
    assert "not up to date" in caplog.text
    with pytest.raises(StorageFull):
        await store.optimize()
    await store.close()


async def test_a_folder_that_is_a_file_is_named_in_the_log_and_not_to_clients(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "file"
    path.write_text("in the way")
    with pytest.raises(Unavailable, match="cannot be used") as caught:
        await LanceDbStore(path).count("acme")
    assert str(path) in caplog.text
    assert str(path) not in caught.value.message


async def test_a_broken_table_is_named_in_the_log_and_nothing_is_deleted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = LanceDbStore(tmp_path)
    await store.upsert([chunk("1", "whales")])
    await store.close()
    for path in tmp_path.rglob("*"):
        if path.is_file():
            path.write_bytes(b"broken")
    before = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    for use in (
        LanceDbStore(tmp_path).count("acme"),
        LanceDbStore(tmp_path).search_lexical("acme", "whales", 5, {}),
        LanceDbStore(tmp_path).upsert([chunk("2", "reefs")]),
    ):
        caplog.clear()
        with pytest.raises(Unavailable, match="cannot be used"):
            await use
        assert str(tmp_path) in caplog.text
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == before


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), RuntimeError("lance error: (os error 28) at x")]
)
async def test_a_full_disk_is_said_to_be_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    store = LanceDbStore(tmp_path)
    await store.upsert([chunk("1", "whales")])

    def fail(*args: object) -> None:
        raise error

    monkeypatch.setattr(store._table, "merge_insert", fail)
    with pytest.raises(StorageFull, match="no space left"):
        await store.upsert([chunk("2", "reefs")])
    assert await store.chunk_ids("acme") == {"1"}
    await store.close()


async def test_a_table_of_earlier_days_gets_the_columns_that_it_lacks(tmp_path: Path) -> None:
    import lancedb
    import pyarrow as pa

    later = {field.name for field in (*rows.OFFSETS, *rows.FILTERED)}
    schema = pa.schema([field for field in rows.BASE_SCHEMA if field.name not in later])
    database = await lancedb.connect_async(str(tmp_path))
    (await database.create_table("chunks", schema=schema)).close()
    store = LanceDbStore(tmp_path)
    await store.upsert([replace(chunk("1", "whales"), start=3, end=9), chunk("2", "reefs")])
    first, second = await store.page("acme", "", 9, {})
    assert (first.start, first.end, second.start, second.end) == (3, 9, None, None)
    await store.close()
