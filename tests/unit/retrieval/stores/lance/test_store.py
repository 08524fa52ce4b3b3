"""What only the store on disk has to do: survive, stay small, and name what is wrong with its folder."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serve_app.errors import StorageFull, Unavailable
from serve_app.retrieval.base import Chunk, HybridQuery
from serve_app.retrieval.filters import parse
from serve_app.retrieval.stores.lance import queries, rows
from serve_app.retrieval.stores.lance.store import _MAX_AT_ONCE, LanceDbStore


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

    row = {
        "id": "1", "tenant": "acme", "document_id": "d", "source": "docs", "path": "a.md", "title": "Whales",
        "headings": ["Whales", "Air"], "text": "Whales breathe.", "lexical": "Whales Air Whales breathe.",
        "ordinal": 3, "page": None, "media_type": "text/plain", "chunk_hash": "h", "embedding_id": "model",
        "metadata": ['["year", "2026"]'],
    }  # fmt: skip
    kept = [field for field in rows.BASE_SCHEMA if field.name in row]
    texts = [pa.field("title", pa.string()), pa.field("text", pa.string())]
    headings = pa.field("headings", pa.list_(pa.string()))
    vector = rows.vector_field("model", 64)
    schema = pa.schema([*kept, *texts, headings, vector])
    database = await lancedb.connect_async(str(tmp_path))
    own = chunk("1", "Whales breathe.")
    data = pa.Table.from_pylist([row | {vector.name: own.vector.tolist()}], schema=schema)
    (await database.create_table("chunks", data)).close()

    store = LanceDbStore(tmp_path)
    await store.upsert([replace(chunk("2", "reefs"), start=3, end=9)])
    first, second = await store.page("acme", "", 9, {})
    assert (first.title, first.headings, first.text) == ("Whales", ("Whales", "Air"), "Whales breathe.")
    assert (first.ordinal, first.page, first.metadata) == (3, None, {"year": "2026"})
    assert (first.start, first.end, second.start, second.end) == (None, None, 3, 9)
    np.testing.assert_array_equal(first.vector, own.vector)
    found = await store.search_lexical("acme", "whale", 5, parse({"metadata.year": {"gte": 2026}}))
    assert [hit.chunk.id for hit in found] == ["1"]
    await store.close()
    again = LanceDbStore(tmp_path)
    assert len(await again.search_dense("acme", "model", own.vector, 5, {})) == 2
    await again.close()


async def test_a_table_that_gets_a_second_tenant_shows_each_its_own(tmp_path: Path) -> None:
    store = LanceDbStore(tmp_path)
    vector = np.zeros(64, np.float32)
    vector[0] = 1.0
    await store.upsert([chunk(f"a{number}", f"whales {number}") for number in range(5)])

    async def seen_by(tenant: str, k: int) -> tuple[set[str], set[str]]:
        dense = await store.search_dense(tenant, "model", vector, k, {})
        lexical = await store.search_lexical(tenant, "whales", k, {})
        return {hit.chunk.id for hit in dense}, {hit.chunk.id for hit in lexical}

    own = {f"a{number}" for number in range(5)}
    assert await seen_by("acme", 99) == (own, own)
    assert await seen_by("other", 99) == (set(), set())
    others = [replace(chunk(f"b{number}", "whales whales"), tenant="other") for number in range(50)]
    await store.upsert(others)
    for _ in range(2):
        assert all(len(found) == 3 and found <= own for found in await seen_by("acme", 3))
        assert await seen_by("acme", 99) == (own, own)
        assert await seen_by("other", 99) == ({one.id for one in others}, {one.id for one in others})
    await store.close()


def asked(text: str = "whales") -> HybridQuery:
    return HybridQuery(text, "model", chunk("1", "").vector, num_candidates=50, rank_constant=60)


async def test_queries_are_read_as_lancedb_itself_reads_them(tmp_path: Path) -> None:
    store = LanceDbStore(tmp_path)
    await store.upsert([chunk(f"{number}", f"whales {number}") for number in range(20)])
    table, query = await store._open(), asked()
    column, columns = store._vector_columns[0], ["id", "passage", *store._vector_columns]
    for made in (
        lambda: queries.lexical(table, query.text, 7, columns),
        lambda: queries.dense(table, column, query.vector, 7, columns),
        lambda: table.query().where("id = '3'").select(columns),
        lambda: table.query().where("id = 'none'").select(columns),
    ):
        assert (await queries.read(made())).equals(await made().to_arrow())
    await store.close()


async def test_searches_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LanceDbStore(tmp_path)
    await store.upsert([chunk("1", "whales")])
    read, at_once = queries.read, [0, 0]  # now, and at most

    async def counted(query: Any) -> Any:
        at_once[0] += 1
        at_once[1] = max(at_once)
        try:
            return await read(query)
        finally:
            at_once[0] -= 1

    monkeypatch.setattr(queries, "read", counted)
    found = await asyncio.gather(
        *(store.search_hybrid("acme", asked(), 5, {}) for _ in range(3 * _MAX_AT_ONCE))
    )
    assert [len(one) for one in found] == [1] * (3 * _MAX_AT_ONCE)
    assert at_once == [0, _MAX_AT_ONCE]
    await store.close()


async def test_a_base_moves_to_another_model_and_back(tmp_path: Path) -> None:
    store = LanceDbStore(tmp_path)
    await store.upsert([chunk("1", "whales"), chunk("2", "reefs")])
    vector = np.full(16, 0.25, np.float32)

    def moved(one: Chunk) -> Chunk:
        return replace(one, vector=vector, embedding_id="other")

    await store.upsert([moved(chunk("1", "whales"))])  # on the way there are both
    [first] = await store.search_dense("acme", "model", asked().vector, 5, {})
    [second] = await store.search_dense("acme", "other", vector, 5, {})
    assert (first.chunk.id, second.chunk.id) == ("2", "1")
    await store.upsert([moved(chunk("2", "reefs"))])
    await store.optimize()
    assert await store.search_dense("acme", "model", asked().vector, 5, {}) == []
    [found] = await store.search_hybrid("acme", asked(), 5, {})
    assert (found.cosine, found.dense_rank, found.lexical_rank) == (None, None, 1)
    await store.upsert([chunk("1", "whales")])
    assert [hit.chunk.id for hit in await store.search_dense("acme", "model", asked().vector, 5, {})] == ["1"]
    assert [hit.chunk.id for hit in await store.search_dense("acme", "other", vector, 5, {})] == ["2"]
    await store.close()
