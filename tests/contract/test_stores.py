"""What every store must do, the one that ships as a fake included."""

from __future__ import annotations

import asyncio
import contextlib
import string
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.schema import (
    LanceDbStoreConfig,
    MemoryStoreConfig,
    MilvusStoreConfig,
    OpenSearchStoreConfig,
    StoreConfig,
)
from serve_app.errors import MantaError
from serve_app.messages import Vectors
from serve_app.retrieval.base import Chunk, Filters, Hit, HybridQuery, OneOf, Store
from serve_app.retrieval.filters import parse, passes
from serve_app.retrieval.fusion import fuse_legs
from serve_app.retrieval.stores.open import open_storage

MODEL = "model-a"
DIM = 8
# Those in the process, and those that are asked over a socket: fewer examples are enough there.
NEAR = ("memory", "lancedb")
FAR = ("opensearch", "milvus")
KINDS = (*NEAR, *FAR)
# Other ways to set up the same store, for what they may change.
VARIANTS = ("opensearch-routed", "opensearch-client-fusion")


def configured(kind: str, url: str) -> StoreConfig:
    index = f"contract-{uuid.uuid4().hex[:12]}"
    if kind == "memory":
        return MemoryStoreConfig(kind="memory")
    if kind == "lancedb":
        return LanceDbStoreConfig(kind="lancedb")
    if kind == "milvus":
        return MilvusStoreConfig(kind="milvus", num_partitions=4)
    routed = {"route_by_tenant": True, "num_shards": 3} if kind == "opensearch-routed" else {}
    fusion = {"hybrid": "client"} if kind == "opensearch-client-fusion" else {}
    return OpenSearchStoreConfig.model_validate(
        {"kind": "opensearch", "url": url, "index": index, "bulk_max_chunks": 40, "request_timeout_s": 120}
        | routed
        | fusion
    )


class Opened:
    """A new store, empty, and afterwards nothing of it."""

    def __init__(self, kind: str, request: pytest.FixtureRequest, folder: Path) -> None:
        if kind == "milvus":
            pytest.importorskip("milvus_lite", reason="no Milvus: the extra `milvus` is not installed")
        self._url = request.getfixturevalue("opensearch_url") if kind.startswith("opensearch") else ""
        self._config = configured(kind, self._url)
        self._folder = folder

    async def __aenter__(self) -> Store:
        self.store = open_storage(self._config, self._folder).store
        return self.store

    async def __aexit__(self, *exc: object) -> None:
        if isinstance(self._config, OpenSearchStoreConfig):
            client: Any = self.store._client  # type: ignore[attr-defined]
            for path in (f"/{self._config.index}-*", f"/_index_template/{self._config.index}"):
                with contextlib.suppress(MantaError):
                    await client.request("DELETE", path, what="cleaning up")
        await self.store.close()


def marked(kinds: tuple[str, ...]) -> list[Any]:
    """Parameters; those that need a server can be left out by their mark."""
    services = {kind: [pytest.mark.services] for kind in kinds if kind.startswith("opensearch")}
    return [pytest.param(kind, marks=services.get(kind, [])) for kind in kinds]


@pytest.fixture(params=marked(KINDS))
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with Opened(request.param, request, tmp_path) as opened:
        yield opened


@pytest.fixture(params=marked((*KINDS, *VARIANTS)))
async def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with Opened(request.param, request, tmp_path) as opened:
        yield opened


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


MARK = vector(0)  # in both of two chunks that are compared: arrays are not equal, only the same


def one_of(**values: str) -> Filters:
    return {field: OneOf((value,)) for field, value in values.items()}


def hybrid(text: str, vector: Vectors, num_candidates: int = 50) -> HybridQuery:
    return HybridQuery(text, MODEL, vector, num_candidates, rank_constant=60)


async def everything(store: Store, tenant: str, filters: Filters | None = None) -> set[str]:
    """What a tenant can see at all, through the dense search."""
    return set(ids(await store.search_dense(tenant, MODEL, vector(0), 1000, filters or {})))


# ---------------------------------------------------------------- writing


async def test_what_was_written_comes_back_whole(any_store: Store) -> None:
    written = chunk("1", page=3, ordinal=7, metadata={"team": "sea", "year": "2026"})
    await any_store.upsert([written])
    for hits in (
        await any_store.search_lexical("acme", "text", 5, {}),
        await any_store.search_dense("acme", MODEL, written.vector, 5, {}),
    ):
        [hit] = hits
        assert replace(hit.chunk, vector=written.vector) == written
        np.testing.assert_allclose(hit.chunk.vector, written.vector, atol=1e-6)


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
    filters = {field: OneOf((text,)) for field in ("path", "source", "metadata.k" + text)}
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


async def test_dense_search_finds_the_nearest(store: Store) -> None:
    chunks = [chunk(f"{number:03}", vector=vector(number)) for number in range(300)]
    await store.upsert(chunks[:150])
    await store.optimize()
    await store.upsert(chunks[150:])
    matrix = np.stack([one.vector for one in chunks])
    num_found = 0
    for seed in range(1000, 1010):
        query = vector(seed)
        cosines = matrix @ query
        expected = {f"{number:03}" for number in np.argsort(-cosines)[:20]}
        hits = await store.search_dense("acme", MODEL, query, 20, {})
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
        own = [cosines[int(hit.chunk.id)] for hit in hits]
        np.testing.assert_allclose([hit.score for hit in hits], own, atol=1e-5)
        num_found += len(expected & set(ids(hits)))
    is_exact = type(store).__name__ in ("MemoryStore", "LanceDbStore")
    assert num_found >= (200 if is_exact else 198)  # a graph may miss one in a hundred


async def test_filters_are_applied_before_the_k_are_chosen(store: Store) -> None:
    query = vector(5)
    near = [chunk(f"near{number}", "text", vector=query) for number in range(50)]
    far = chunk("far", "text text text and more of it", vector=-query, source="other")
    await store.upsert([*near, far])
    assert ids(await store.search_dense("acme", MODEL, query, 3, one_of(source="other"))) == ["far"]
    assert ids(await store.search_lexical("acme", "text", 3, one_of(source="other"))) == ["far"]


async def test_models_are_never_compared(store: Store) -> None:
    other = chunk("2", vector=vector(2, dim=4), embedding_id="model-b")
    await store.upsert([chunk("1"), other])
    assert ids(await store.search_dense("acme", MODEL, vector(1), 5, {})) == ["1"]
    assert ids(await store.search_dense("acme", "model-b", vector(1, dim=4), 5, {})) == ["2"]
    assert await store.search_dense("acme", "model-b", vector(1), 5, {}) == []  # of another dimension
    assert await store.search_dense("acme", "model-c", vector(1), 5, {}) == []
    assert len(await store.search_lexical("acme", "text", 5, {})) == 2


async def test_where_a_text_stands_comes_back(any_store: Store) -> None:
    await any_store.upsert([chunk("1", "known", start=0, end=5), chunk("2", "unknown")])
    found = await any_store.page("acme", "", 9, {})
    assert [(one.start, one.end) for one in found] == [(0, 5), (None, None)]


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


async def test_vectors_are_found_by_hash_and_model(any_store: Store) -> None:
    kept = chunk("1", "known")
    await any_store.upsert(
        [kept, chunk("2", "elsewhere", tenant="other"), chunk("3", "of b", embedding_id="model-b")]
    )
    asked = [f"hash of {text}" for text in ("known", "elsewhere", "of b", "unknown")]
    found = await any_store.vectors("acme", MODEL, asked)
    assert set(found) == {"hash of known"}
    np.testing.assert_allclose(found["hash of known"], kept.vector, atol=1e-6)
    assert await any_store.vectors("acme", MODEL, []) == {}


# ---------------------------------------------------------------- filters and tenants


async def test_filters_by_field_and_metadata(any_store: Store) -> None:
    await any_store.upsert(
        [
            chunk("1", source="docs", path="a.md", metadata={"team": "sea"}),
            chunk("2", source="docs", path="b.md", metadata={"team": "land", "x": "sea"}),
            chunk("3", source="wiki", path="a.md", media_type="text/html", document_id="d3"),
        ]
    )
    cases: list[tuple[dict[str, Any], set[str]]] = [
        ({"source": "docs"}, {"1", "2"}),
        ({"source": ["docs", "wiki"]}, {"1", "2", "3"}),
        ({"path": "a.md", "source": "docs"}, {"1"}),
        ({"media_type": "text/html"}, {"3"}),
        ({"document_id": ["d3", "d4"]}, {"3"}),
        ({"metadata.team": "sea"}, {"1"}),
        ({"metadata.team": ["sea", "land"]}, {"1", "2"}),
        ({"metadata.x": "sea", "metadata.team": "land"}, {"2"}),
        ({"metadata.nobody": "sea"}, set()),
        ({"source": []}, set()),
        ({"metadata.team": []}, set()),
    ]
    for asked, expected in cases:
        filters = parse(asked)
        assert await everything(any_store, "acme", filters) == expected, asked
        assert set(ids(await any_store.search_lexical("acme", "text", 5, filters))) == expected, asked


async def test_filters_by_range_date_and_existence(store: Store) -> None:
    await store.upsert(
        [
            chunk("1", page=1, ordinal=0, metadata={"year": "1999", "when": "2026-01-31", "team": ""}),
            chunk("2", page=12, ordinal=1, metadata={"year": "-3.5", "when": "2026-02-01T00:30:00+02:00"}),
            chunk("3", page=None, ordinal=2, metadata={"year": "2e3", "when": "soon", "a.b'": "7"}),
            chunk("4", page=2, ordinal=3),
        ]
    )
    cases: list[tuple[dict[str, Any], set[str]]] = [
        ({"metadata.year": {"gte": 1999}}, {"1", "3"}),
        ({"metadata.year": {"gt": 1999}}, {"3"}),
        ({"metadata.year": {"gt": -4, "lt": 1999}}, {"2"}),
        ({"metadata.year": {"lte": -3.5}}, {"2"}),
        ({"metadata.year": {"gte": 5, "lte": 4}}, set()),
        ({"metadata.a.b'": {"gte": 7, "lte": 7}}, {"3"}),
        ({"metadata.team": {"gte": 0}}, set()),
        ({"metadata.when": {"gte": "2026-01-31"}}, {"1", "2"}),
        ({"metadata.when": {"gt": "2026-01-31"}}, {"2"}),  # 22:30 in UTC
        ({"metadata.when": {"lt": "2026-01-31T22:30:00Z"}}, {"1"}),
        ({"metadata.when": {"gte": 2026}}, set()),  # a date is no number
        ({"page": {"gte": 2}}, {"2", "4"}),
        ({"page": {"lt": 12}}, {"1", "4"}),
        ({"ordinal": {"gte": 1, "lt": 3}}, {"2", "3"}),
        ({"page": {"exists": True}}, {"1", "2", "4"}),
        ({"page": {"exists": False}}, {"3"}),
        ({"metadata.team": {"exists": True}}, {"1"}),
        ({"metadata.when": {"exists": False}}, {"4"}),
        ({"metadata.year": {"gte": 0}, "metadata.when": {"exists": True}, "page": {"lte": 1}}, {"1"}),
    ]
    for asked, expected in cases:
        filters = parse(asked)
        assert await everything(store, "acme", filters) == expected, asked
        assert set(ids(await store.search_lexical("acme", "text", 5, filters))) == expected, asked
        assert {one.id for one in await store.page("acme", "", 9, filters)} == expected, asked


# Texts that are likely to break out of a quoted literal, or to be taken for another one.
HOSTILE = st.text(alphabet="ab'\"\\`%_;-() =\x00\n,[]é日" + string.digits[:2], max_size=12)

NUMBERS = st.sampled_from(("7", "-1.5", "2026-03-01", "1e3", "0", "nan"))
METADATA = st.dictionaries(HOSTILE.filter(bool), HOSTILE | NUMBERS, max_size=2)
ROW = st.tuples(HOSTILE, HOSTILE, HOSTILE, METADATA, st.none() | st.integers(1, 3))
RANGES = st.sampled_from(
    ({"gte": 0}, {"lt": 7}, {"gt": -2, "lte": 7}, {"gte": "2026-01-01"}, {"exists": True})
)


async def _check_isolation(store: Store, rows: list[Any], asked: Any, condition: Any) -> None:
    """Whatever tenants, sources, paths and metadata are called, one finds its own rows, and all of them."""
    chunks = [
        chunk(f"{number}", tenant=tenant, source=source, path=path, metadata=metadata, page=page)
        for number, (tenant, source, path, metadata, page) in enumerate(rows)
    ]
    await store.upsert(chunks)
    for tenant, source, path, metadata, _ in [*rows, asked]:
        own = [one for one in chunks if one.tenant == tenant]
        every = {one.id for one in own}
        assert await everything(store, tenant) == every
        assert await store.chunk_ids(tenant) == every
        assert await store.count(tenant) == len(own)
        assert set(ids(await store.search_lexical(tenant, "text", 99, {}))) == every
        found = await store.search_hybrid(tenant, hybrid("text", vector(0)), 99, {})
        assert {one.chunk.id for one in found} == every
        assert [one.id for one in await store.page(tenant, "", 99, {})] == sorted(every)
        asked_for: list[dict[str, Any]] = [
            {"source": source, "path": path},
            {"source": [source, path]},
            {"page": {"gte": 2}},
            *({f"metadata.{key}": value} for key, value in metadata.items()),
            *({f"metadata.{key}": condition} for key in metadata),
        ]
        for filters in map(parse, asked_for):
            expected = {one.id for one in own if passes(one, filters)}
            assert await everything(store, tenant, filters) == expected, filters
        await store.delete(tenant, ["' OR 1=1 --", f"no id {source}"])
    for one in chunks:
        await store.delete(one.tenant, [one.id])
        assert one.id not in await store.chunk_ids(one.tenant)


# Everything is drawn and checked within one test; a far store is opened anew for each example, so few do.
EXAMPLES = dict.fromkeys(NEAR, 60) | dict.fromkeys((*FAR, *VARIANTS), 4)


@pytest.mark.parametrize("kind", marked((*KINDS, *VARIANTS)))
def test_no_value_reaches_another_tenant(
    kind: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    @given(rows=st.lists(ROW, min_size=1, max_size=6), asked=ROW, condition=RANGES)
    @settings(max_examples=EXAMPLES[kind], deadline=None)
    def check(rows: list[Any], asked: Any, condition: Any) -> None:
        async def run() -> None:
            async with Opened(kind, request, tmp_path_factory.mktemp("store")) as opened:
                await _check_isolation(opened, rows, asked, condition)

        asyncio.run(run())

    check()


# ---------------------------------------------------------------- hybrid search, pages, sources, rebuilding


async def test_hybrid_search_ranks_as_the_legs_fused_here(any_store: Store) -> None:
    """Whoever fuses: the same chunks in the same order, with what each leg said of them."""
    words = ("kelp", "coral", "current", "plankton", "ray", "reef", "tide")
    texts = [
        " ".join(words[(number * step) % 7] for step in range(1, 2 + number % 6)) for number in range(60)
    ]
    await any_store.upsert(
        [chunk(f"{number:02}", text, vector=vector(number)) for number, text in enumerate(texts)]
    )
    for seed, text in enumerate(("coral reef", "ray", "plankton tide current", "nothing of it")):
        asked = hybrid(text, vector(500 + seed), num_candidates=20)
        expected = await fuse_legs(any_store, "acme", asked, 10, {}, None)
        found = await any_store.search_hybrid("acme", asked, 10, {})
        # Where chunks have one score the order is the store's; the scores' order is everybody's.
        np.testing.assert_allclose([one.score for one in found], [one.score for one in expected], atol=1e-6)
        assert len(found) == 10
        for one in found:
            assert one.cosine == pytest.approx(float(one.chunk.vector @ asked.vector), abs=1e-5)
            assert one.bm25 is None or one.bm25 > 0


async def test_hybrid_search_says_which_leg_saw_a_chunk(any_store: Store) -> None:
    query = vector(1)
    await any_store.upsert(
        [
            chunk("both", "kelp forest", vector=query),
            chunk("lexical", "kelp kelp kelp", vector=-query),
            chunk("dense", "open water", vector=np.roll(query, 1) * 0.1 + query * 0.9),
            chunk("model-b", "kelp of another model", vector=vector(3, dim=4), embedding_id="model-b"),
        ]
    )
    near = replace(hybrid("kelp", query, num_candidates=3))
    found = {one.chunk.id: one for one in await any_store.search_hybrid("acme", near, 4, {})}
    assert found["both"].bm25 is not None
    assert found["both"].cosine == pytest.approx(1.0, abs=1e-5)
    assert found["dense"].bm25 is None
    assert found["lexical"].cosine == pytest.approx(-1.0, abs=1e-5)
    assert found["model-b"].cosine is None
    assert await any_store.search_hybrid("other", near, 4, {}) == []
    assert await any_store.search_hybrid("acme", near, 4, one_of(source="nowhere")) == []


async def test_a_store_without_the_model_still_searches_its_words(store: Store) -> None:
    await store.upsert([chunk("1", "kelp", vector=vector(3, dim=4), embedding_id="model-b")])
    [found] = await store.search_hybrid("acme", hybrid("kelp", vector(1)), 5, {})
    assert (found.chunk.id, found.cosine) == ("1", None)


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
