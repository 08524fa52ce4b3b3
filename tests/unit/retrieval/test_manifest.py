from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from serve_app.errors import StorageFull, Unavailable
from serve_app.messages import DocumentInfo
from serve_app.retrieval.manifest import Recipe, Record
from serve_app.retrieval.sqlite_manifest import SqliteManifest

RECIPE = Recipe(1, 1, 220, 30, "model", 8)


def record(document_id: str, **changes: str) -> Record:
    info = DocumentInfo(
        id=document_id,
        source=changes.get("source", "docs"),
        path=changes.get("path", f"{document_id}.md"),
        title="Ein Titel 日本 '",
        media_type="text/markdown",
        sha256="0" * 64,
        num_chunks=2,
        num_bytes=17,
        ingested_at="2026-11-21T12:00:00+00:00",
        metadata={"k'": 'v"'},
    )
    return Record(info, None, RECIPE, (f"{document_id}-0", f"{document_id}-1"))


async def test_records_survive_closing(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "manifest.sqlite"
    first = SqliteManifest(path)
    await first.commit("acme", put=[record("a"), record("b")])
    await first.commit("acme", put=[record("a", path="renamed.md")], removed=["b", "nobody"])
    await first.close()
    second = SqliteManifest(path)
    assert await second.records("acme", ["a", "b"]) == {"a": record("a", path="renamed.md")}
    assert (await second.summary("acme")).generation == 2
    await second.close()
    await second.close()


async def test_tenants_are_apart(tmp_path: Path) -> None:
    manifest = SqliteManifest(None)
    await manifest.commit("acme", put=[record("a")])
    await manifest.commit("other", put=[record("a", source="wiki"), record("b")])
    assert await manifest.source("acme", "docs") == [record("a")]
    assert (await manifest.summary("other")).sources == {"docs": 1, "wiki": 1}
    await manifest.commit("acme", removed=["a", "b"])
    assert set(await manifest.chunk_ids("other")) == {"a", "b"}
    assert (await manifest.summary("nobody")).generation == 0
    await manifest.close()


async def test_an_incomplete_document_has_no_recipe() -> None:
    manifest = SqliteManifest(None)
    await manifest.commit("acme", put=[record("a"), record("b")])
    await manifest.mark_incomplete("acme", ["a"])
    found = await manifest.records("acme", ["a", "b"])
    assert [found["a"].recipe, found["b"].recipe] == [None, RECIPE]
    assert (await manifest.summary("acme")).num_documents == 2
    await manifest.close()


async def test_a_commit_is_all_or_nothing(tmp_path: Path) -> None:
    manifest = SqliteManifest(tmp_path / "manifest.sqlite")
    await manifest.commit("acme", put=[record("a")])
    broken = Record(record("c").info, None, RECIPE, (object(),))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        await manifest.commit("acme", put=[record("b"), broken], removed=["a"])
    assert set(await manifest.chunk_ids("acme")) == {"a"}
    assert (await manifest.summary("acme")).generation == 1
    await manifest.close()


async def test_a_second_process_is_told_that_the_base_is_in_use(tmp_path: Path) -> None:
    path = tmp_path / "manifest.sqlite"
    first, second = SqliteManifest(path), SqliteManifest(path)
    await first.commit("acme", put=[record("a")])
    with pytest.raises(Unavailable, match=r"manifest\.sqlite is in use by another process"):
        await second.summary("acme")
    await first.close()
    assert (await second.summary("acme")).num_documents == 1
    await second.close()


async def test_a_file_that_is_no_manifest_is_named(tmp_path: Path) -> None:
    path = tmp_path / "manifest.sqlite"
    path.write_bytes(b"this is not a database, however long it may be" * 100)
    with pytest.raises(Unavailable, match=r"manifest\.sqlite cannot be used: .*not a database"):
        await SqliteManifest(path).summary("acme")
    with pytest.raises(Unavailable, match="cannot be used"):
        await SqliteManifest(path / "below" / "a-file.sqlite").summary("acme")


async def test_a_full_disk_is_said_to_be_full(tmp_path: Path) -> None:
    manifest = SqliteManifest(tmp_path / "manifest.sqlite")
    await manifest.commit("acme", put=[record("a")])
    assert manifest._connection is not None
    manifest._connection.execute("PRAGMA max_page_count = 1")  # SQLite's own way to run out of disk
    many = [record(f"{number}") for number in range(500)]
    with pytest.raises(StorageFull, match="no space left"):
        await manifest.commit("acme", put=many)
    assert set(await manifest.chunk_ids("acme")) == {"a"}
    await manifest.close()


def test_the_json_functions_that_the_queries_use_are_there() -> None:
    assert sqlite3.connect(":memory:").execute("SELECT value FROM json_each('[\"a\"]')").fetchall() == [
        ("a",)
    ]
