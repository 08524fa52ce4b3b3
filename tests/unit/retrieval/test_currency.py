"""How current a source is: what looks, changes and failures make of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from configs.schema import CurrencyConfig, FolderSource
from serve_app.errors import BadRequest, EngineFailed
from serve_app.messages import DocumentInput, RequestContext, SearchQuery, Standing
from serve_app.retrieval.currency import SourceState
from serve_app.retrieval.drafts import sha256_of
from serve_app.retrieval.freshness import Freshness
from serve_app.retrieval.knowledge import KnowledgeBase

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
A, B, C = (DocumentInput(f"{name}.txt", f"the text of {name} about rays".encode()) for name in "abc")


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def opened(world: Any, clock: Clock, **currency: Any) -> KnowledgeBase:
    config = world.config.model_copy(
        update={
            "currency": CurrencyConfig(**currency),
            "sources": (FolderSource(kind="folder", name="configured", path="x"),),
        }
    )
    return KnowledgeBase(config, world.store, world.manifest, world.embedder, clock)


async def standing(base: KnowledgeBase, source: str, context: RequestContext) -> Any:
    return next(one for one in (await base.status(context)).standings if one.source == source)


def hashes(*documents: DocumentInput) -> dict[str, str]:
    return {one.path: sha256_of(one) for one in documents}


async def test_a_sources_life(world: Any, clock: Clock, context: RequestContext) -> None:
    base = opened(world, clock)
    assert (await standing(base, "configured", context)).standing is Standing.NEVER_SYNCED

    await base.plan_sync("docs", hashes(A, B), context)
    found = await standing(base, "docs", context)
    assert (found.standing, found.num_new, found.reason) == (Standing.STALE, 2, "2 new")
    assert (found.checked_at, found.synced_at) == ("2026-11-21T12:00:00+00:00", "")

    await base.put_documents("docs", [A, B], context)
    found = await standing(base, "docs", context)
    assert (found.standing, found.num_documents, found.reason) == (Standing.FRESH, 2, "")
    assert found.synced_at == "2026-11-21T12:00:00+00:00"
    assert found.embedding_ids == ("mock-bag-of-words-16",)

    clock.now += timedelta(hours=1)
    changed = DocumentInput(A.path, b"another text")
    plan = await base.plan_sync("docs", hashes(changed, C), context)
    found = await standing(base, "docs", context)
    assert (found.num_changed, found.num_new, found.num_gone) == (1, 1, 1)
    assert found.reason == "1 changed, 1 new, 1 gone"
    assert found.synced_at == "2026-11-21T12:00:00+00:00"

    await base.delete_documents(plan.gone, context)
    await base.put_documents("docs", [changed, C], context)
    found = await standing(base, "docs", context)
    assert (found.standing, found.synced_at) == (Standing.FRESH, "2026-11-21T13:00:00+00:00")


async def test_a_sync_that_broke_off(world: Any, clock: Clock, context: RequestContext) -> None:
    base = opened(world, clock)
    await base.sync_failed("configured", "the bucket\nis gone", context)
    found = await standing(base, "configured", context)
    assert (found.standing, found.reason) == (Standing.FAILING, "the bucket is gone")
    await base.plan_sync("configured", {}, context)
    assert (await standing(base, "configured", context)).standing is Standing.FRESH
    with pytest.raises(BadRequest):
        await base.sync_failed(" ", "why", context)


async def test_documents_that_fail(world: Any, clock: Clock, context: RequestContext) -> None:
    base = opened(world, clock)
    broken = DocumentInput("broken.pdf", b"no pdf")
    await base.plan_sync("docs", hashes(A, broken), context)
    await base.put_documents("docs", [A, broken], context)
    found = await standing(base, "docs", context)
    assert (found.standing, found.num_failed, found.num_new) == (Standing.FAILING, 1, 1)
    await base.plan_sync("docs", hashes(A), context)
    assert (await standing(base, "docs", context)).standing is Standing.FRESH


async def test_a_look_ages(world: Any, clock: Clock, context: RequestContext) -> None:
    base = opened(world, clock, max_age_s=60)
    await base.plan_sync("docs", {}, context)
    assert (await standing(base, "docs", context)).standing is Standing.FRESH
    clock.now += timedelta(seconds=61)
    found = await standing(base, "docs", context)
    assert (found.standing, found.reason) == (Standing.STALE, "not looked at for 61 s")


async def test_another_model_makes_stale(world: Any, clock: Clock, context: RequestContext) -> None:
    base = opened(world, clock)
    await base.put_documents("docs", [A, B], context)
    assert (await standing(base, "docs", context)).standing is Standing.FRESH  # sent, and never listed
    world.embedder = type(world.embedder)(dim=32)
    found = await standing(opened(world, clock), "docs", context)
    assert (found.standing, found.num_outdated) == (Standing.STALE, 2)
    assert found.embedding_ids == ("mock-bag-of-words-16",)


async def test_without_the_embedder_counts_are_told(
    world: Any, clock: Clock, context: RequestContext
) -> None:
    base = opened(world, clock)
    await base.put_documents("docs", [A], context)
    world.embedder.is_down = EngineFailed("down")
    found = await standing(base, "docs", context)
    assert (found.num_documents, found.standing) == (1, Standing.FRESH)


async def test_a_search_says_what_is_stale_and_never_waits(
    world: Any, clock: Clock, context: RequestContext
) -> None:
    base = opened(world, clock)
    await base.put_documents("docs", [A], context)
    await base.put_documents("other", [B], context)
    await base.plan_sync("docs", hashes(A, C), context)
    first = await base.search(SearchQuery("rays"), context)
    assert first.stale_sources == ()  # not known yet
    await base._freshness.settle()
    assert (await base.search(SearchQuery("rays"), context)).stale_sources == ("docs",)
    only = await base.search(SearchQuery("rays", filters={"source": "other"}), context)
    assert only.stale_sources == ()
    await base.put_documents("docs", [C], context)
    await base.search(SearchQuery("rays"), context)
    await base._freshness.settle()
    assert (await base.search(SearchQuery("rays"), context)).stale_sources == ()
    await base.close()


async def test_what_is_at_hand_is_read_again_when_it_is_old() -> None:
    reads: list[str] = []
    now = [0.0]

    async def read(tenant: str) -> tuple[Any, ...]:
        reads.append(tenant)
        if len(reads) == 2:
            raise EngineFailed("down")
        return ()

    freshness = Freshness(read, 10.0, lambda: now[0])
    for at, expected in ((0.0, 1), (5.0, 1), (10.0, 2), (15.0, 2), (20.0, 3)):
        now[0] = at
        freshness.begin("acme")
        freshness.begin("acme")
        await freshness.settle()
        assert len(reads) == expected
    await freshness.close()


def test_a_state_survives_its_text() -> None:
    state = SourceState("d\u00e9j\u00e0", "2026-01-01T00:00:00+00:00", num_new=3, failure="x")
    assert SourceState.decoded(state.encoded()) == state
    assert SourceState.decoded('{"source": "a", "of_a_later_version": 1}') == SourceState("a")
