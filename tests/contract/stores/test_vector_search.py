"""Searching vectors, alone and together with words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from store_rows import MODEL, chunk, hybrid, ids, one_of, vector

from serve_app.retrieval.base import Store
from serve_app.retrieval.fusion import fuse_legs


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
            own = float(vector(int(one.chunk.id)) @ asked.vector)
            assert one.cosine == pytest.approx(own, abs=1e-5)
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
