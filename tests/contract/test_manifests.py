"""What every manifest must do, wherever it is kept."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from configs.schema import OpenSearchStoreConfig
from serve_app.errors import MantaError
from serve_app.messages import DocumentInfo
from serve_app.retrieval.manifest import Manifest, Recipe, Record
from serve_app.retrieval.sqlite_manifest import SqliteManifest
from serve_app.retrieval.stores.opensearch.client import Client
from serve_app.retrieval.stores.opensearch.ledger import Ledger
from serve_app.retrieval.stores.opensearch.manifest import OpenSearchManifest

RECIPE = Recipe(1, 1, 220, 30, "model", 8)


@pytest.fixture(params=["sqlite", pytest.param("opensearch", marks=pytest.mark.services)])
async def manifest(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Manifest]:
    if request.param == "sqlite":
        opened = SqliteManifest(tmp_path / "manifest.sqlite")
        yield opened
        await opened.close()
        return
    url = request.getfixturevalue("opensearch_url")
    index = f"contract-{uuid.uuid4().hex[:12]}"
    config = OpenSearchStoreConfig(kind="opensearch", url=url, index=index, request_timeout_s=120.0)
    client = Client(config)
    yield OpenSearchManifest(Ledger(client, config))
    with contextlib.suppress(MantaError):
        await client.request("DELETE", f"/{config.index}-manifest", what="cleaning up")
    await client.close()


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
        metadata={"k'": 'v"', "a.b": "", "\x00": "\n"},
    )
    return Record(info, None, RECIPE, (f"{document_id}-0", f"{document_id}-1"))


async def test_an_empty_manifest_answers(manifest: Manifest) -> None:
    assert await manifest.records("acme", ["a"]) == {}
    assert await manifest.source("acme", "docs") == []
    assert await manifest.page("acme", None, "", 10) == []
    assert await manifest.chunk_ids("acme") == {}
    summary = await manifest.summary("acme")
    assert (summary.num_documents, summary.num_chunks, summary.generation) == (0, 0, 0)
    assert (dict(summary.sources), summary.embedding_ids) == ({}, ())
    await manifest.commit("acme", removed=["nobody"])


async def test_records_come_back_whole_and_are_replaced(manifest: Manifest) -> None:
    await manifest.commit("acme", put=[record("a"), record("b")])
    await manifest.commit("acme", put=[record("a", path="renamed.md")], removed=["b", "nobody"])
    assert await manifest.records("acme", ["a", "b", "a"]) == {"a": record("a", path="renamed.md")}
    assert (await manifest.summary("acme")).generation == 2
    assert await manifest.chunk_ids("acme") == {"a": ("a-0", "a-1")}


async def test_tenants_and_sources_are_apart(manifest: Manifest) -> None:
    await manifest.commit("acme", put=[record("a")])
    await manifest.commit("other", put=[record("a", source="wiki"), record("b"), record("c")])
    assert await manifest.source("acme", "docs") == [record("a")]
    assert await manifest.source("acme", "wiki") == []
    summary = await manifest.summary("other")
    assert (dict(summary.sources), summary.num_chunks) == ({"docs": 2, "wiki": 1}, 6)
    await manifest.commit("acme", removed=["a", "b"])
    assert set(await manifest.chunk_ids("other")) == {"a", "b", "c"}
    assert (await manifest.summary("nobody")).generation == 0


async def test_an_incomplete_document_has_no_recipe(manifest: Manifest) -> None:
    await manifest.commit("acme", put=[record("a"), record("b")])
    await manifest.mark_incomplete("acme", ["a"])
    found = await manifest.records("acme", ["a", "b"])
    assert [found["a"].recipe, found["b"].recipe] == [None, RECIPE]
    summary = await manifest.summary("acme")
    assert (summary.num_documents, summary.embedding_ids) == (2, ("model",))
    assert summary.recipes == {"docs": {None: 1, RECIPE: 1}}


async def test_states_of_sources_are_no_documents(manifest: Manifest) -> None:
    assert await manifest.source_states("acme") == {}
    await manifest.put_source_state("acme", "docs", '{"a": 1}')
    await manifest.put_source_state("acme", "wiki \u65e5\u672c", "")
    await manifest.put_source_state("acme", "docs", '{"a": 2}')
    await manifest.put_source_state("other", "docs", "theirs")
    assert await manifest.source_states("acme") == {"docs": '{"a": 2}', "wiki \u65e5\u672c": ""}
    assert (await manifest.summary("acme")).num_documents == 0
    assert await manifest.page("acme", None, "", 10) == []


async def test_pages_are_ordered_by_id(manifest: Manifest) -> None:
    names = [f"{number:04}" for number in range(1100)]
    await manifest.commit(
        "acme", put=[record(one, source="even" if int(one) % 2 == 0 else "odd") for one in names]
    )
    assert [one.info.id for one in await manifest.page("acme", None, "", 3)] == names[:3]
    assert [one.info.id for one in await manifest.page("acme", "odd", "0010", 3)] == ["0011", "0013", "0015"]
    assert len(await manifest.page("acme", None, "", 1050)) == 1050
    assert len(await manifest.source("acme", "even")) == 550
    assert set(await manifest.chunk_ids("acme")) == set(names)
