"""Searching words: whatever they are written in."""

from __future__ import annotations

import pytest
from store_rows import MODEL, chunk, ids, vector, whole

from serve_app.retrieval.base import OneOf, Store
from serve_app.retrieval.stores.english import STOP_WORDS

# Not left out by LanceDB, though lists of other makers have them.
COMMON = ("because", "only", "any", "why", "once", "very", "during")


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


async def test_every_store_leaves_the_same_words_out(store: Store) -> None:
    """Questions in whole sentences are ranked by their other words: alike, whatever the store."""
    await store.upsert([chunk(word, word) for word in sorted(STOP_WORDS)])
    await store.upsert([chunk("kept", " ".join(COMMON))])
    await store.optimize()
    assert await store.search_lexical("acme", " ".join(sorted(STOP_WORDS)), 200, {}) == []
    for word in COMMON:
        assert ids(await store.search_lexical("acme", word, 5, {})) == ["kept"], word


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
    assert whole(hit.chunk, unusual) == unusual


async def test_ideographs_are_found_inside_a_run(store: Store) -> None:
    await store.upsert([chunk("1", "東京都の天気"), chunk("2", "大阪の天気")])
    assert ids(await store.search_lexical("acme", "東京", 5, {})) == ["1"]


async def test_a_line_of_a_megabyte(store: Store) -> None:
    await store.upsert([chunk("1", "needle " + "hay " * 250_000), chunk("2", "x" * 1_000_000)])
    [hit] = await store.search_lexical("acme", "needle", 5, {})
    assert len(hit.chunk.text) == 1_000_007
