"""A base made anew: other vectors, another index; broken off at every step, and gone on with."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from configs.schema import ChunkingConfig
from serve_app.errors import EngineFailed, Unavailable
from serve_app.messages import Deadline, DocumentInput, RequestContext, SearchMode, SearchQuery, Standing

DOCUMENTS = [
    DocumentInput(f"{number}.md", f"# Rays {number}\n\nRay {number} glides over reef {number}.".encode())
    for number in range(7)
]


@pytest.fixture
async def moved(world: Any, context: RequestContext) -> Any:
    """A base whose embedder has become another one."""
    await world.open().put_documents("docs", DOCUMENTS, context)
    world.embedder = type(world.embedder)(dim=32)
    return world


async def test_what_another_model_embedded_is_embedded_again(moved: Any, context: RequestContext) -> None:
    base = moved.open()
    dense = SearchQuery("reef 3", k=3, mode=SearchMode.DENSE)
    assert (await base.search(dense, context)).passages == ()
    assert len((await base.search(SearchQuery("reef 3", k=3), context)).passages) == 3  # by words meanwhile
    report = await base.rebuild(context)
    assert (report.num_reembedded, report.num_left, report.num_wanted) == (7, 0, 0)
    assert report.is_reindexed
    assert len((await base.search(dense, context)).passages) == 3
    status = await base.status(context)
    assert status.embedding_id == "mock-bag-of-words-32"
    assert status.standings[0].standing is Standing.FRESH
    again = await base.rebuild(context)
    assert (again.num_reembedded, moved.embedder.num_passages) == (0, 7)


async def test_nothing_is_sent_again_after_it(moved: Any, context: RequestContext) -> None:
    base = moved.open()
    await base.rebuild(context)
    outcomes = await base.put_documents("docs", DOCUMENTS, context)
    assert {one.status for one in outcomes} == {"unchanged"}
    assert moved.embedder.num_passages == 7


async def test_another_chunker_waits_for_the_sources(world: Any, context: RequestContext) -> None:
    await world.open().put_documents("docs", DOCUMENTS, context)
    world.config = world.config.model_copy(
        update={"chunking": ChunkingConfig(max_tokens=64, overlap_tokens=0)}
    )
    report = await world.open().rebuild(context)
    assert (report.num_reembedded, report.num_wanted) == (0, 7)
    assert (await world.open().status(context)).standings[0].num_outdated == 7


async def test_it_stops_in_time_and_goes_on(moved: Any, context: RequestContext) -> None:
    base = moved.open()
    late = RequestContext("r", context.tenant, Deadline.after(1.0))
    report = await base.rebuild(late)
    assert (report.num_reembedded, report.num_left, report.is_reindexed) == (0, 7, False)
    assert (await base.rebuild(context)).num_reembedded == 7


async def test_an_embedder_that_fails_names_the_document(moved: Any, context: RequestContext) -> None:
    moved.embedder.poison = {"Ray 3 ": EngineFailed("no")}
    with pytest.raises(EngineFailed, match=r"3\.md"):
        await moved.open().rebuild(context)
    moved.embedder.poison = {}
    assert (await moved.open().rebuild(context)).num_left == 0


@pytest.mark.parametrize("step", range(8))
async def test_killed_at_every_step(moved: Any, context: RequestContext, step: int) -> None:
    """Afterwards every document answers, nothing is there twice, and the next rebuild ends it."""
    moved.fuse.left = step
    with contextlib.suppress(RuntimeError):
        await moved.open().rebuild(context)
    moved.fuse.left = None
    base = moved.open()
    for number in range(7):
        found = await base.search(SearchQuery(f"Ray {number} glides", k=7, mode=SearchMode.LEXICAL), context)
        assert sorted(one.path for one in found.passages) == [f"{n}.md" for n in range(7)]
    report = await base.rebuild(context)
    assert report.num_left == 0
    dense = await base.search(SearchQuery("glides", k=20, mode=SearchMode.DENSE), context)
    assert sorted(one.path for one in dense.passages) == [f"{n}.md" for n in range(7)]
    assert (await base.status(context)).embedding_id == "mock-bag-of-words-32"


async def test_a_stored_passage_that_was_tampered_with(moved: Any, context: RequestContext) -> None:
    from dataclasses import replace

    chunk = (await moved.store.page(context.tenant, "", 1, {}))[0]
    await moved.store.upsert([replace(chunk, text="something else")])
    with pytest.raises(Unavailable, match="differs"):
        await moved.open().rebuild(context)


async def test_a_frozen_index_is_thawed_by_the_next_writer(world: Any, context: RequestContext) -> None:
    """What a rebuild that was killed leaves behind."""
    store = world.store
    store.is_frozen = True

    async def thaw() -> None:
        store.is_frozen = False

    store.thaw = thaw
    outcomes = await world.open().put_documents("docs", DOCUMENTS[:1], context)
    assert outcomes[0].status == "added"
    assert not store.is_frozen
