"""Filters, and that nobody finds what is another's."""

from __future__ import annotations

import asyncio
import string
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from store_rows import chunk, everything, hybrid, ids, vector

from serve_app.retrieval.base import Store
from serve_app.retrieval.filters import parse, passes


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


def test_no_value_reaches_another_tenant(
    open_anew: Callable[[], AbstractAsyncContextManager[Store]], num_examples: int
) -> None:
    # Everything is drawn and checked within one test: a fixture's store would be the same for all examples.
    @given(rows=st.lists(ROW, min_size=1, max_size=6), asked=ROW, condition=RANGES)
    @settings(max_examples=num_examples, deadline=None)
    def check(rows: list[Any], asked: Any, condition: Any) -> None:
        async def run() -> None:
            async with open_anew() as opened:
                await _check_isolation(opened, rows, asked, condition)

        asyncio.run(run())

    check()
