from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from configs.schema import ChunkingConfig
from serve_app.errors import BadRequest, ConfigError, EngineFailed, InputTooLong, Unavailable
from serve_app.messages import (
    DocumentInput,
    DocumentOutcome,
    DocumentStatus,
    RequestContext,
    SearchMode,
    SearchQuery,
)
from serve_app.retrieval.knowledge import KnowledgeBase

SECTIONS = {
    name: f"## {name}\n\nWhat there is to say of {name}." for name in ("reef", "whale", "squid", "kelp")
}


def document(path: str, *sections: str, **options: Any) -> DocumentInput:
    """A Markdown document of which each section becomes one chunk."""
    text = "\n\n".join(SECTIONS.get(section, section) for section in sections)
    return DocumentInput(path, f"# {path}\n\n{text}\n".encode(), **options)


def hashes(*documents: DocumentInput) -> dict[str, str]:
    return {one.path: hashlib.sha256(one.content).hexdigest() for one in documents}


def statuses(outcomes: tuple[DocumentOutcome, ...]) -> Mapping[str, str]:
    return {outcome.path: str(outcome.status) for outcome in outcomes}


async def found(knowledge: KnowledgeBase, word: str, context: RequestContext) -> list[str]:
    result = await knowledge.search(SearchQuery(word, k=50, mode=SearchMode.LEXICAL), context)
    return sorted(passage.path for passage in result.passages)


async def sync(knowledge: KnowledgeBase, context: RequestContext, *documents: DocumentInput) -> int:
    """What the command line does; returns how many documents had to be sent."""
    plan = await knowledge.plan_sync("docs", hashes(*documents), context)
    outcomes = await knowledge.put_documents(
        "docs", [one for one in documents if one.path in plan.upload], context
    )
    assert all(outcome.status is not DocumentStatus.FAILED for outcome in outcomes)
    await knowledge.delete_documents(plan.gone, context)
    return len(plan.upload)


# ---------------------------------------------------------------- what is embedded


async def test_a_new_document_is_embedded_once(
    knowledge: KnowledgeBase, world: Any, context: RequestContext
) -> None:
    [added] = await knowledge.put_documents("docs", [document("a.md", "reef", "whale")], context)
    assert (added.status, added.num_chunks, added.num_embedded) == (DocumentStatus.ADDED, 2, 2)
    [same] = await knowledge.put_documents("docs", [document("a.md", "reef", "whale")], context)
    assert (same.status, same.num_chunks, same.num_embedded) == (DocumentStatus.UNCHANGED, 2, 0)
    assert same.document_id == added.document_id
    assert world.embedder.num_passages == 2


async def test_a_changed_document_embeds_only_what_is_new(
    knowledge: KnowledgeBase, world: Any, context: RequestContext
) -> None:
    await knowledge.put_documents("docs", [document("a.md", "reef", "whale", "kelp")], context)
    world.embedder.num_passages = 0
    [changed] = await knowledge.put_documents("docs", [document("a.md", "squid", "reef", "kelp")], context)
    assert (changed.status, changed.num_chunks, changed.num_embedded) == (DocumentStatus.CHANGED, 3, 1)
    assert world.embedder.num_passages == 1
    assert await found(knowledge, "whale", context) == []
    assert (await knowledge.status(context)).num_chunks == 3


async def test_many_documents_share_calls_to_the_embedder(
    knowledge: KnowledgeBase, world: Any, context: RequestContext
) -> None:
    await knowledge.put_documents("docs", [document(f"{n}.md", "reef") for n in range(40)], context)
    assert (world.embedder.num_passages, world.embedder.num_calls) == (40, 1)


async def test_equal_texts_are_embedded_once(
    knowledge: KnowledgeBase, world: Any, context: RequestContext
) -> None:
    same = document("a.md", "reef").content
    outcomes = await knowledge.put_documents(
        "docs", [DocumentInput("x/a.md", same), DocumentInput("y/a.md", same)], context
    )
    assert [outcome.num_embedded for outcome in outcomes] == [1, 0]
    assert world.embedder.num_passages == 1
    assert [one.path for one in await knowledge.list_documents(context)].count("x/a.md") == 1
    assert len(await found(knowledge, "reef", context)) == 1  # the other one says nothing new


async def test_new_metadata_is_written_without_embedding(
    knowledge: KnowledgeBase, world: Any, context: RequestContext
) -> None:
    await knowledge.put_documents("docs", [document("a.md", "reef")], context)
    world.embedder.num_passages = 0
    [outcome] = await knowledge.put_documents(
        "docs", [document("a.md", "reef", metadata={"team": "sea"})], context
    )
    assert (outcome.status, outcome.num_embedded, world.embedder.num_passages) == (
        DocumentStatus.CHANGED,
        0,
        0,
    )
    result = await knowledge.search(SearchQuery("reef", filters={"metadata.team": "sea"}), context)
    assert len(result.passages) == 1


# ---------------------------------------------------------------- plans


async def test_a_plan_names_what_is_new_changed_and_gone(
    knowledge: KnowledgeBase, context: RequestContext
) -> None:
    kept, old, gone = document("kept.md", "reef"), document("changed.md", "reef"), document("gone.md", "reef")
    await knowledge.put_documents("docs", [kept, old, gone], context)
    await knowledge.put_documents("wiki", [document("other.md", "reef")], context)
    plan = await knowledge.plan_sync(
        "docs", hashes(kept, document("changed.md", "whale"), document("new.md", "kelp")), context
    )
    assert (set(plan.upload), plan.num_unchanged) == ({"changed.md", "new.md"}, 1)
    assert await knowledge.delete_documents(plan.gone, context) == 1
    assert await found(knowledge, "reef", context) == ["changed.md", "kept.md", "other.md"]


@pytest.mark.parametrize("chunking", [ChunkingConfig(max_tokens=64, overlap_tokens=0)])
async def test_other_chunking_makes_documents_again(
    world: Any, context: RequestContext, chunking: ChunkingConfig
) -> None:
    await sync(world.open(), context, document("a.md", "reef"))
    world.config = world.config.model_copy(update={"chunking": chunking})
    assert await sync(world.open(), context, document("a.md", "reef")) == 1
    assert await sync(world.open(), context, document("a.md", "reef")) == 0


async def test_chunks_longer_than_the_model_reads_are_a_fault_of_the_configuration(
    world: Any, context: RequestContext
) -> None:
    world.config = world.config.model_copy(update={"chunking": ChunkingConfig(max_tokens=300)})
    with pytest.raises(ConfigError, match=r"300.*256"):
        await world.open().put_documents("docs", [document("a.md", "reef")], context)


async def test_a_new_model_re_embeds_at_the_next_sync(world: Any, context: RequestContext) -> None:
    one, two = document("1.md", "reef"), document("2.md", "reef", "whale")
    await sync(world.open(), context, one, two)
    other = type(world.embedder)(dim=32)
    knowledge = world.open(other)
    dense = SearchQuery("reef", mode=SearchMode.DENSE)
    assert (await knowledge.search(dense, context)).passages == ()  # nothing to compare with
    assert await found(knowledge, "reef", context) == ["1.md", "2.md"]
    await knowledge.put_documents("docs", [one], context)  # half way
    assert [passage.path for passage in (await knowledge.search(dense, context)).passages] == ["1.md"]
    hybrid = (await knowledge.search(SearchQuery("reef"), context)).passages
    assert {passage.path: passage.cosine is not None for passage in hybrid} == {"1.md": True, "2.md": False}
    assert (await knowledge.status(context)).embedding_id == "mock-bag-of-words-16, mock-bag-of-words-32"
    assert await sync(knowledge, context, one, two) == 1
    assert len((await knowledge.search(dense, context)).passages) == 3
    assert other.num_passages == 3


# ---------------------------------------------------------------- crashes


async def test_a_crash_anywhere_is_repaired_by_the_next_sync(world: Any, context: RequestContext) -> None:
    """Whatever call breaks, before or after its effect: the base answers, and the next sync heals it."""
    before = [document("a.md", "reef", "whale"), document("b.md", "kelp"), document("gone.md", "squid")]
    after = [document("a.md", "reef", "squid"), document("b.md", "kelp"), document("new.md", "whale", "kelp")]
    steps = 0
    for is_restarted in (False, True):
        for step in range(100):
            broken = type(world)()
            knowledge = broken.open()
            await sync(knowledge, context, *before)
            broken.fuse.left = step
            try:
                await sync(knowledge, context, *after)
            except RuntimeError:
                steps += 1
            else:
                break  # the fuse outlasted the sync
            assert "b.md" in await found(knowledge, "kelp", context)
            if is_restarted:
                knowledge = broken.open()
            await sync(knowledge, context, *after)
            await expect_in_step(broken, knowledge, context)
            assert await found(knowledge, "squid", context) == ["a.md"]
            assert await found(knowledge, "whale", context) == ["new.md"]
            assert await found(knowledge, "reef", context) == ["a.md"]
            assert await sync(knowledge, context, *after) == 0
            await broken.manifest.close()
    assert steps >= 2 * 10  # upsert, delete, commit and delete, commit, each before and after


async def expect_in_step(world: Any, knowledge: KnowledgeBase, context: RequestContext) -> None:
    wanted = await world.manifest.chunk_ids(context.tenant)
    assert await world.store.chunk_ids(context.tenant) == {one for ids in wanted.values() for one in ids}
    status = await knowledge.status(context)
    assert status.num_chunks == sum(len(ids) for ids in wanted.values())


async def test_a_change_taken_back_after_a_crash_is_whole_again(world: Any, context: RequestContext) -> None:
    """The manifest still has the old hash, the store already lost the old chunks."""
    old, new = document("a.md", "reef"), document("a.md", "whale")
    knowledge = world.open()
    await sync(knowledge, context, old)
    world.fuse.left = 4  # past the upsert and the delete
    with pytest.raises(RuntimeError, match="power"):
        await sync(knowledge, context, new)
    assert await sync(knowledge, context, old) == 1
    assert await found(knowledge, "reef", context) == ["a.md"]
    await expect_in_step(world, knowledge, context)


async def test_a_store_that_lost_chunks_gets_them_again(world: Any, context: RequestContext) -> None:
    files = [document("a.md", "reef"), document("b.md", "whale")]
    await sync(world.open(), context, *files)
    lost = sorted(await world.store.chunk_ids(context.tenant))[0]
    await world.store.delete(context.tenant, [lost])
    assert await sync(world.open(), context, *files) == 1
    assert await found(world.open(), "reef whale", context) == ["a.md", "b.md"]


# ---------------------------------------------------------------- faults


@pytest.mark.parametrize(
    "fault",
    [float("nan"), 0.0, 7.0, InputTooLong("too long"), EngineFailed("the model gave a vector of norm nan")],
    ids=str,
)
async def test_a_text_that_cannot_be_embedded_fails_its_document_only(
    knowledge: KnowledgeBase, world: Any, context: RequestContext, fault: Exception | float
) -> None:
    world.embedder.poison = {"squid": fault}
    outcomes = await knowledge.put_documents(
        "docs",
        [document("1.md", "reef"), document("2.md", "reef", "squid"), document("3.md", "whale")],
        context,
    )
    assert statuses(outcomes) == {"1.md": "added", "2.md": "failed", "3.md": "added"}
    assert "embedded" in outcomes[1].reason
    assert await found(knowledge, "reef squid whale", context) == ["1.md", "3.md"]
    assert all(np.isfinite(chunk.chunk.vector).all() for chunk in world.store._entries(context.tenant))
    world.embedder.poison = {}
    [healed] = await knowledge.put_documents("docs", [document("2.md", "reef", "squid")], context)
    assert healed.status is DocumentStatus.ADDED


async def test_a_call_of_nothing_but_bad_texts_is_no_outage(
    knowledge: KnowledgeBase, world: Any, context: RequestContext
) -> None:
    world.embedder.poison = {"squid": EngineFailed("no vector")}
    outcomes = await knowledge.put_documents(
        "docs", [document("1.md", "squid", "squid and kelp"), document("2.md", "squid and reef")], context
    )
    assert statuses(outcomes) == {"1.md": "failed", "2.md": "failed"}


async def test_a_failed_change_keeps_the_old_version(
    knowledge: KnowledgeBase, world: Any, context: RequestContext
) -> None:
    await knowledge.put_documents("docs", [document("a.md", "reef")], context)
    world.embedder.poison = {"squid": float("nan")}
    [failed] = await knowledge.put_documents("docs", [document("a.md", "squid")], context)
    assert failed.status is DocumentStatus.FAILED
    assert await found(knowledge, "reef", context) == ["a.md"]


@pytest.mark.parametrize(
    "failure", [Unavailable("no replica"), EngineFailed("broken")], ids=["down", "broken"]
)
async def test_an_embedder_that_is_down_stores_nothing(
    knowledge: KnowledgeBase, world: Any, context: RequestContext, failure: Exception
) -> None:
    world.embedder.failure = failure
    with pytest.raises(Unavailable):
        await knowledge.put_documents("docs", [document("1.md", "reef"), document("2.md", "whale")], context)
    assert await world.store.chunk_ids(context.tenant) == set()
    assert await knowledge.list_documents(context) == ()
    world.embedder.failure, world.embedder.is_down = None, Unavailable("no replica")
    with pytest.raises(Unavailable):
        await knowledge.plan_sync("docs", {}, context)


async def test_vectors_of_another_dimension_are_not_stored(
    knowledge: KnowledgeBase, world: Any, context: RequestContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under the model's own name, as a server has it whose model was replaced by a smaller one."""
    honest = world.embedder.embed

    async def shorter(*args: Any, **options: Any) -> Any:
        made = await honest(*args, **options)
        halves = made.vectors[:, :8]
        return replace(made, vectors=halves / np.linalg.norm(halves, axis=1, keepdims=True))

    monkeypatch.setattr(world.embedder, "embed", shorter)
    with pytest.raises(Unavailable, match="vectors of 8 for 1 texts of 16"):
        await knowledge.put_documents("docs", [document("1.md", "reef")], context)
    assert await world.store.chunk_ids(context.tenant) == set()
    assert await knowledge.list_documents(context) == ()


async def test_a_model_that_changes_on_the_way_is_noticed(
    knowledge: KnowledgeBase, world: Any, context: RequestContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = world.embedder.embed

    async def swapped(*args: Any, **options: Any) -> Any:
        return replace(await honest(*args, **options), embedding_id="another")

    monkeypatch.setattr(world.embedder, "embed", swapped)
    with pytest.raises(Unavailable, match="model changed"):
        await knowledge.put_documents("docs", [document("1.md", "reef")], context)
    assert await world.store.chunk_ids(context.tenant) == set()


async def test_bad_documents_are_reported_and_the_rest_goes_on(
    knowledge: KnowledgeBase, context: RequestContext
) -> None:
    documents = [
        document("good.md", "reef"),
        DocumentInput("", b"text"),
        DocumentInput("big.txt", b"x" * 5000),
        document("good.md", "whale"),
        DocumentInput("broken.pdf", b"%PDF-1.7 nothing"),
        DocumentInput("metadata.txt", b"text", metadata={"": "x"}),
        DocumentInput("half\ud800.txt", b"text"),
        document("../../etc/passwd", "kelp", media_type="text/markdown"),
    ]
    outcomes = await knowledge.put_documents("docs", documents, context)
    assert [str(outcome.status) for outcome in outcomes] == ["added", *["failed"] * 6, "added"]
    assert [outcome.path for outcome in outcomes] == [one.path for one in documents]
    assert "5000" in outcomes[2].reason
    assert "4096" in outcomes[2].reason
    assert "twice" in outcomes[3].reason
    assert await found(knowledge, "reef kelp", context) == ["../../etc/passwd", "good.md"]
    with pytest.raises(BadRequest) as raised:
        await knowledge.put_documents(" ", documents, context)
    assert raised.value.param == "source"


# ---------------------------------------------------------------- tenants, listing, status


async def test_tenants_do_not_see_each_other(knowledge: KnowledgeBase, context: RequestContext) -> None:
    other = replace(context, tenant="other")
    await knowledge.put_documents("docs", [document("a.md", "reef")], context)
    [theirs] = await knowledge.put_documents("docs", [document("a.md", "reef", "kelp")], other)
    assert await knowledge.delete_documents([theirs.document_id], context) == 0
    assert await found(knowledge, "kelp", context) == []
    [mine] = await knowledge.list_documents(context)
    assert mine.id != theirs.document_id
    assert (await knowledge.status(context)).num_chunks == 1
    assert (await knowledge.plan_sync("docs", {}, context)).gone == (mine.id,)


async def test_documents_are_listed_by_pages(knowledge: KnowledgeBase, context: RequestContext) -> None:
    await knowledge.put_documents("docs", [document(f"{n}.md", "reef") for n in range(7)], context)
    await knowledge.put_documents("wiki", [document("w.md", "reef")], context)
    seen: list[str] = []
    while page := await knowledge.list_documents(
        context, source="docs", after=seen[-1] if seen else "", limit=3
    ):
        seen += [info.id for info in page]
    assert len(seen) == 7
    assert seen == sorted(seen)
    [info] = await knowledge.list_documents(context, source="wiki")
    assert (info.path, info.num_chunks, info.ingested_at) == ("w.md", 1, "2026-11-21T12:00:00+00:00")
    assert info.num_bytes == len(document("w.md", "reef").content)
    for limit in (0, 1001):
        with pytest.raises(BadRequest):
            await knowledge.list_documents(context, limit=limit)


async def test_status_counts_and_its_generation_grows_with_changes_only(
    knowledge: KnowledgeBase, context: RequestContext
) -> None:
    empty = await knowledge.status(context)
    assert (empty.num_documents, empty.num_chunks, empty.generation, empty.embedding_id) == (0, 0, 0, "")
    [outcome] = await knowledge.put_documents("docs", [document("a.md", "reef", "kelp")], context)
    one = await knowledge.status(context)
    assert (one.num_documents, one.num_chunks, dict(one.sources)) == (1, 2, {"docs": 1})
    assert one.generation > empty.generation
    await knowledge.put_documents("docs", [document("a.md", "reef", "kelp")], context)
    assert (await knowledge.status(context)).generation == one.generation
    await knowledge.delete_documents([outcome.document_id, "nobody"], context)
    assert (await knowledge.status(context)).generation > one.generation
