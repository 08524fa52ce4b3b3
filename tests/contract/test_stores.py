"""What every store must do, the one that ships as a fake included."""

from __future__ import annotations

import asyncio
import string
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serve_app.messages import Vectors
from serve_app.retrieval.base import Chunk, Hit, Store
from serve_app.retrieval.lancedb_store import LanceDbStore
from serve_app.retrieval.memory_store import MemoryStore

MODEL = "model-a"
DIM = 8
KINDS = ("memory", "lancedb")


def open_store(kind: str, folder: Path) -> Store:
    return MemoryStore() if kind == "memory" else LanceDbStore(folder)


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    opened = open_store(request.param, tmp_path / "store")
    yield opened
    await opened.close()


def vector(seed: int, dim: int = DIM) -> Vectors:
    drawn = np.random.default_rng(seed).standard_normal(dim).astype(np.float32)
    return np.asarray(drawn / np.linalg.norm(drawn), dtype=np.float32)


def chunk(chunk_id: str, text: str = "some text", **changes: Any) -> Chunk:
    made = Chunk(
        id=chunk_id,
        tenant="acme",
        document_id="d1",
        source="docs",
        path="a.md",
        title="Guide",
        headings=("Guide", "Install"),
        text=text,
        ordinal=0,
        page=None,
        media_type="text/markdown",
        chunk_hash=f"hash of {text}",
        vector=vector(sum(map(ord, chunk_id))),
        embedding_id=MODEL,
    )
    return replace(made, **changes)


def ids(hits: list[Hit]) -> list[str]:
    return [hit.chunk.id for hit in hits]


async def everything(
    store: Store, tenant: str, filters: Mapping[str, tuple[str, ...]] | None = None
) -> set[str]:
    """What a tenant can see at all, through the dense search."""
    return set(ids(await store.search_dense(tenant, MODEL, vector(0), 1000, filters or {})))


# ---------------------------------------------------------------- writing


async def test_what_was_written_comes_back_whole(store: Store) -> None:
    written = chunk("1", page=3, ordinal=7, metadata={"team": "sea", "year": "2026"})
    await store.upsert([written])
    for hits in (
        await store.search_lexical("acme", "text", 5, {}),
        await store.search_dense("acme", MODEL, written.vector, 5, {}),
    ):
        [hit] = hits
        assert replace(hit.chunk, vector=written.vector) == written
        np.testing.assert_allclose(hit.chunk.vector, written.vector, atol=1e-6)


async def test_an_empty_store_answers(store: Store) -> None:
    assert await store.search_lexical("acme", "text", 5, {}) == []
    assert await store.search_dense("acme", MODEL, vector(1), 5, {}) == []
    assert await store.chunk_ids("acme") == set()
    assert await store.count("acme") == 0
    await store.delete("acme", ["nobody"])
    await store.upsert([])
    await store.optimize()


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


async def test_deleting_needs_the_right_tenant(store: Store) -> None:
    await store.upsert([chunk("1")])
    await store.delete("other", ["1"])
    assert await store.chunk_ids("acme") == {"1"}


# ---------------------------------------------------------------- lexical search


async def test_lexical_search_finds_fresh_rows_before_and_after_optimizing(store: Store) -> None:
    await store.upsert([chunk("1", "the octopus hides")])
    await store.optimize()
    await store.upsert([chunk("2", "an octopus hunts")])
    assert set(ids(await store.search_lexical("acme", "octopus", 5, {}))) == {"1", "2"}
    await store.optimize()
    assert set(ids(await store.search_lexical("acme", "octopus", 5, {}))) == {"1", "2"}


async def test_words_are_compared_as_english(store: Store) -> None:
    await store.upsert([chunk("1", "Replicas of the Café"), chunk("2", "nothing of interest")])
    for query in ("replica", "REPLICAS", "cafe", "CAFÉ", "the replica!"):
        assert ids(await store.search_lexical("acme", query, 5, {})) == ["1"], query
    assert await store.search_lexical("acme", "the of and", 5, {}) == []


async def test_title_and_headings_are_searched_too(store: Store) -> None:
    await store.upsert([chunk("1", "x", title="Manta", headings=("Breathing",)), chunk("2", "y")])
    assert ids(await store.search_lexical("acme", "manta", 5, {})) == ["1"]
    assert ids(await store.search_lexical("acme", "breathing", 5, {})) == ["1"]


async def test_rare_words_count_more_and_scores_fall(store: Store) -> None:
    await store.upsert([chunk(str(number), "common words here") for number in range(8)])
    await store.upsert([chunk("rare", "common nudibranch here")])
    hits = await store.search_lexical("acme", "common nudibranch", 5, {})
    assert ids(hits)[0] == "rare"
    assert len(hits) == 5
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert all(hit.score > 0 for hit in hits)


QUERIES = (
    "", " ", "\x00", '"', "(", "((", "AND", "a AND OR NOT (", "text:*", "+text -words ^2 ~", "😀", "'", "\\", "%_",
    "x" * 10_000, "text " * 2_000, "'; DROP TABLE chunks; --", "日本語", "\u202e", "a\nb\tc",
)  # fmt: skip


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: repr(query[:20]))
async def test_any_text_is_a_query(store: Store, query: str) -> None:
    await store.upsert([chunk("1", "text with words")])
    found = ids(await store.search_lexical("acme", query, 5, {}))
    assert found == (["1"] if "text" in query else [])


UNUSUAL = (
    "日本語の文章を検索する", "中文分词很难", "emoji 😀 and ZWJ 👩‍👩‍👧", "control \x00 \x07 \x1b characters",
    "quotes ' \" ` ''; --", "back\\slash \\' \\n", "\u202eright to left", "", "wörds with áccents",
)  # fmt: skip


@pytest.mark.parametrize("text", UNUSUAL, ids=lambda text: repr(text[:12]))
async def test_unusual_text_is_kept_as_it_is(store: Store, text: str) -> None:
    unusual = chunk(
        "1", text, title=text, headings=(text,), path=text, source=text, metadata={"k" + text: text}
    )
    await store.upsert([unusual, chunk("2")])
    filters = {"path": (text,), "source": (text,), "metadata.k" + text: (text,)}
    [hit] = await store.search_dense("acme", MODEL, vector(0), 5, filters)
    assert replace(hit.chunk, vector=unusual.vector) == unusual


async def test_ideographs_are_found_inside_a_run(store: Store) -> None:
    await store.upsert([chunk("1", "東京都の天気"), chunk("2", "大阪の天気")])
    assert ids(await store.search_lexical("acme", "東京", 5, {})) == ["1"]


async def test_a_line_of_a_megabyte(store: Store) -> None:
    await store.upsert([chunk("1", "needle " + "hay " * 250_000), chunk("2", "x" * 1_000_000)])
    [hit] = await store.search_lexical("acme", "needle", 5, {})
    assert len(hit.chunk.text) == 1_000_007


# ---------------------------------------------------------------- dense search


async def test_dense_search_is_exact(store: Store) -> None:
    chunks = [chunk(f"{number:03}", vector=vector(number)) for number in range(300)]
    await store.upsert(chunks[:150])
    await store.optimize()
    await store.upsert(chunks[150:])
    matrix = np.stack([one.vector for one in chunks])
    for seed in range(1000, 1010):
        query = vector(seed)
        cosines = matrix @ query
        expected = np.argsort(-cosines)[:20]
        hits = await store.search_dense("acme", MODEL, query, 20, {})
        assert ids(hits) == [f"{number:03}" for number in expected]
        np.testing.assert_allclose([hit.score for hit in hits], cosines[expected], atol=1e-5)


async def test_filters_are_applied_before_the_k_are_chosen(store: Store) -> None:
    query = vector(5)
    near = [chunk(f"near{number}", "text", vector=query) for number in range(50)]
    far = chunk("far", "text text text and more of it", vector=-query, source="other")
    await store.upsert([*near, far])
    assert ids(await store.search_dense("acme", MODEL, query, 3, {"source": ("other",)})) == ["far"]
    assert ids(await store.search_lexical("acme", "text", 3, {"source": ("other",)})) == ["far"]


async def test_models_are_never_compared(store: Store) -> None:
    other = chunk("2", vector=vector(2, dim=4), embedding_id="model-b")
    await store.upsert([chunk("1"), other])
    assert ids(await store.search_dense("acme", MODEL, vector(1), 5, {})) == ["1"]
    assert ids(await store.search_dense("acme", "model-b", vector(1, dim=4), 5, {})) == ["2"]
    assert await store.search_dense("acme", "model-b", vector(1), 5, {}) == []  # of another dimension
    assert await store.search_dense("acme", "model-c", vector(1), 5, {}) == []
    assert len(await store.search_lexical("acme", "text", 5, {})) == 2


async def test_a_chunk_moves_to_another_model(store: Store) -> None:
    await store.upsert([chunk("1"), chunk("2")])
    moved = chunk("1", vector=vector(3, dim=4), embedding_id="model-b")
    await store.upsert([moved])
    await store.optimize()
    assert ids(await store.search_dense("acme", MODEL, vector(1), 5, {})) == ["2"]
    [hit] = await store.search_dense("acme", "model-b", moved.vector, 5, {})
    assert hit.chunk.embedding_id == "model-b"
    assert hit.score == pytest.approx(1.0, abs=1e-5)
    await store.upsert([replace(moved, id="2")])
    await store.optimize()  # nothing is left of the first model
    assert await store.search_dense("acme", MODEL, vector(1), 5, {}) == []
    assert await store.count("acme") == 2
    await store.upsert([chunk("3")])
    assert ids(await store.search_dense("acme", MODEL, vector(1), 5, {})) == ["3"]


async def test_vectors_are_found_by_hash_and_model(store: Store) -> None:
    kept = chunk("1", "known")
    await store.upsert(
        [kept, chunk("2", "elsewhere", tenant="other"), chunk("3", "of b", embedding_id="model-b")]
    )
    asked = [f"hash of {text}" for text in ("known", "elsewhere", "of b", "unknown")]
    found = await store.vectors("acme", MODEL, asked)
    assert set(found) == {"hash of known"}
    np.testing.assert_allclose(found["hash of known"], kept.vector, atol=1e-6)
    assert await store.vectors("acme", MODEL, []) == {}


# ---------------------------------------------------------------- filters and tenants


async def test_filters_by_field_and_metadata(store: Store) -> None:
    await store.upsert(
        [
            chunk("1", source="docs", path="a.md", metadata={"team": "sea"}),
            chunk("2", source="docs", path="b.md", metadata={"team": "land", "x": "sea"}),
            chunk("3", source="wiki", path="a.md", media_type="text/html", document_id="d3"),
        ]
    )
    cases: list[tuple[dict[str, tuple[str, ...]], set[str]]] = [
        ({"source": ("docs",)}, {"1", "2"}),
        ({"source": ("docs", "wiki")}, {"1", "2", "3"}),
        ({"path": ("a.md",), "source": ("docs",)}, {"1"}),
        ({"media_type": ("text/html",)}, {"3"}),
        ({"document_id": ("d3", "d4")}, {"3"}),
        ({"metadata.team": ("sea",)}, {"1"}),
        ({"metadata.team": ("sea", "land")}, {"1", "2"}),
        ({"metadata.x": ("sea",), "metadata.team": ("land",)}, {"2"}),
        ({"metadata.nobody": ("sea",)}, set()),
        ({"source": ()}, set()),
        ({"metadata.team": ()}, set()),
    ]
    for filters, expected in cases:
        assert await everything(store, "acme", filters) == expected, filters
        assert set(ids(await store.search_lexical("acme", "text", 5, filters))) == expected, filters


# Texts that are likely to break out of a quoted literal, or to be taken for another one.
HOSTILE = st.text(alphabet="ab'\"\\`%_;-() =\x00\n,[]é日" + string.digits[:2], max_size=12)
ROW = st.tuples(HOSTILE, HOSTILE, HOSTILE, st.dictionaries(HOSTILE.filter(bool), HOSTILE, max_size=2))


@pytest.mark.parametrize("kind", KINDS)
@given(rows=st.lists(ROW, min_size=1, max_size=6), asked=ROW)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_value_reaches_another_tenant(
    kind: str, tmp_path_factory: pytest.TempPathFactory, rows: list[Any], asked: Any
) -> None:
    """Whatever tenants, sources, paths and metadata are called, one finds its own rows, and all of them."""

    async def check() -> None:
        store = open_store(kind, tmp_path_factory.mktemp("store"))
        chunks = [
            chunk(f"{number}", tenant=tenant, source=source, path=path, metadata=metadata)
            for number, (tenant, source, path, metadata) in enumerate(rows)
        ]
        await store.upsert(chunks)
        for tenant, source, path, metadata in [*rows, asked]:
            own = [one for one in chunks if one.tenant == tenant]
            assert await everything(store, tenant) == {one.id for one in own}
            assert await store.chunk_ids(tenant) == {one.id for one in own}
            assert await store.count(tenant) == len(own)
            assert set(ids(await store.search_lexical(tenant, "text", 99, {}))) == {one.id for one in own}
            for filters in ({"source": (source,), "path": (path,)}, {"source": (source, path)}):
                expected = {one.id for one in own if all(getattr(one, f) in v for f, v in filters.items())}
                assert await everything(store, tenant, filters) == expected
            for key, value in metadata.items():
                expected = {one.id for one in own if one.metadata.get(key) == value}
                assert await everything(store, tenant, {f"metadata.{key}": (value,)}) == expected
            await store.delete(tenant, ["' OR 1=1 --", f"no id {source}"])
        for one in chunks:
            await store.delete(one.tenant, [one.id])
            assert one.id not in await store.chunk_ids(one.tenant)
        await store.close()

    asyncio.run(check())


# ---------------------------------------------------------------- concurrency


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
