from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from configs.schema import RetrievalConfig
from serve_app.errors import BadRequest, DeadlineExceeded, EngineFailed, Overloaded, Unavailable
from serve_app.messages import Deadline, DocumentInput, RequestContext, SearchMode, SearchQuery
from serve_app.retrieval.knowledge import KnowledgeBase

TEXTS = {
    "whale.md": "# Whales\n\nWhales breathe air at the surface.",
    "reef.md": "# Reefs\n\nReefs are built by corals in warm water.",
    "kelp.md": "# Kelp\n\nKelp grows in cold water, fast and tall.",
}


@pytest.fixture
async def base(knowledge: KnowledgeBase, context: RequestContext) -> KnowledgeBase:
    documents = [DocumentInput(path, text.encode()) for path, text in TEXTS.items()]
    await knowledge.put_documents("docs", documents, context)
    return knowledge


async def test_hybrid_fuses_both_legs(base: KnowledgeBase, context: RequestContext) -> None:
    result = await base.search(SearchQuery("corals in warm water", k=3), context)
    best = result.passages[0]
    assert (best.path, best.title, best.text) == (
        "reef.md",
        "Reefs",
        "Reefs are built by corals in warm water.",
    )
    assert best.score == pytest.approx(2 / 61)  # first in both legs
    assert best.bm25 is not None
    assert 0.0 < (best.cosine or 0.0) <= 1.0
    assert result.flags == ()
    assert [passage.score for passage in result.passages] == sorted(
        (p.score for p in result.passages), reverse=True
    )


async def test_only_the_lexical_leg_has_bm25(base: KnowledgeBase, context: RequestContext) -> None:
    result = await base.search(SearchQuery("whales", k=3), context)
    bm25 = {passage.path: passage.bm25 for passage in result.passages}
    assert len(bm25) == 3  # the dense leg ranks everything
    assert bm25["whale.md"] is not None
    assert bm25["kelp.md"] is None
    assert all(passage.cosine is not None for passage in result.passages)


async def test_lexical_hits_beyond_the_dense_candidates_get_their_cosine(
    world: Any, context: RequestContext
) -> None:
    world.config = world.config.model_copy(update={"retrieval": RetrievalConfig(num_candidates=1)})
    knowledge = world.open()
    await knowledge.put_documents(
        "d", [DocumentInput(path, text.encode()) for path, text in TEXTS.items()], context
    )
    vectors = {c.chunk.path: c.chunk.vector for c in world.store._entries(context.tenant)}
    query = "kelp kelp whales breathe air at the surface whales"
    result = await knowledge.search(SearchQuery(query, k=2), context)
    embedded = await world.embedder.embed([query], context, is_query=True)
    for passage in result.passages:
        assert passage.cosine == pytest.approx(float(vectors[passage.path] @ embedded.vectors[0]), abs=1e-6)


@pytest.mark.parametrize("mode", list(SearchMode))
async def test_modes_order_by_their_own_score(
    base: KnowledgeBase, context: RequestContext, mode: SearchMode
) -> None:
    result = await base.search(SearchQuery("cold water", k=3, mode=mode), context)
    best = result.passages[0]
    assert best.path == "kelp.md"
    assert (best.cosine is None) == (mode is SearchMode.LEXICAL)
    assert (best.bm25 is None) == (mode is SearchMode.DENSE)
    if mode is not SearchMode.HYBRID:
        assert best.score == (best.bm25 if mode is SearchMode.LEXICAL else best.cosine)


async def test_filters_and_k_bound_the_answer(base: KnowledgeBase, context: RequestContext) -> None:
    result = await base.search(SearchQuery("water", k=1), context)
    assert len(result.passages) == 1
    result = await base.search(SearchQuery("water", filters={"path": ["kelp.md", "whale.md"]}), context)
    assert {passage.path for passage in result.passages} == {"kelp.md", "whale.md"}
    assert (await base.search(SearchQuery("water", filters={"source": []}), context)).passages == ()


@pytest.mark.parametrize(
    ("query", "param"),
    [
        (SearchQuery(""), "query"),
        (SearchQuery(" \n\t"), "query"),
        (SearchQuery("x", k=0), "k"),
        (SearchQuery("x", k=101), "k"),
        (SearchQuery("x", filters={"tenant": "other"}), "filters"),
    ],
)
async def test_a_bad_search_is_refused_by_name(
    base: KnowledgeBase, context: RequestContext, query: SearchQuery, param: str
) -> None:
    with pytest.raises(BadRequest) as raised:
        await base.search(query, context)
    assert raised.value.param == param


@pytest.mark.parametrize(
    "text", ["half \ud800 a pair of kelp", "kelp" + " water" * 3000, 'kelp" OR ( AND *:*']
)
async def test_odd_queries_are_searched(base: KnowledgeBase, context: RequestContext, text: str) -> None:
    result = await base.search(SearchQuery(text), context)
    assert "kelp.md" in {passage.path for passage in result.passages}


@pytest.mark.parametrize(
    "failure",
    [
        Unavailable("no replica"),
        EngineFailed("broken"),
        Overloaded("full"),
        BadRequest("odd"),
        DeadlineExceeded("late"),
    ],
    ids=lambda failure: type(failure).__name__,
)
async def test_without_an_embedder_the_search_is_lexical_and_says_so(
    base: KnowledgeBase, world: Any, context: RequestContext, failure: Exception
) -> None:
    world.embedder.failure = failure
    result = await base.search(SearchQuery("kelp"), context)
    assert [(passage.path, passage.cosine) for passage in result.passages] == [("kelp.md", None)]
    assert result.flags == ("lexical_only",)
    assert (await base.search(SearchQuery("kelp", mode=SearchMode.LEXICAL), context)).flags == ()
    with pytest.raises(Unavailable, match=str(failure)):
        await base.search(SearchQuery("kelp", mode=SearchMode.DENSE), context)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0])
async def test_a_query_vector_that_is_none_is_not_used(
    base: KnowledgeBase, world: Any, context: RequestContext, value: float
) -> None:
    world.embedder.poison = {"kelp": value}
    assert (await base.search(SearchQuery("kelp"), context)).flags == ("lexical_only",)


async def test_an_embedder_that_hangs_is_not_waited_for(world: Any, context: RequestContext) -> None:
    world.config = world.config.model_copy(update={"retrieval": RetrievalConfig(embed_timeout_s=0.01)})
    knowledge = world.open()
    await knowledge.put_documents("docs", [DocumentInput("kelp.md", b"kelp")], context)

    async def hang(*args: Any, **options: Any) -> Any:
        await asyncio.Event().wait()

    world.embedder.embed = hang
    assert (await knowledge.search(SearchQuery("kelp"), context)).flags == ("lexical_only",)
    hurried = replace(context, deadline=Deadline.after(0.001))
    with pytest.raises(DeadlineExceeded):
        await knowledge.search(SearchQuery("kelp"), hurried)


async def test_the_lexical_leg_runs_while_the_query_is_embedded(
    base: KnowledgeBase, world: Any, context: RequestContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_started = asyncio.Event()
    lexical, embed = world.store.search_lexical, world.embedder.embed

    async def search_lexical(*args: Any, **options: Any) -> Any:
        has_started.set()
        return await lexical(*args, **options)

    async def embed_after_the_lexical_leg(*args: Any, **options: Any) -> Any:
        await has_started.wait()
        return await embed(*args, **options)

    monkeypatch.setattr(world.store, "search_lexical", search_lexical)
    monkeypatch.setattr(world.embedder, "embed", embed_after_the_lexical_leg)
    assert (await base.search(SearchQuery("kelp"), context)).flags == ()


@pytest.mark.parametrize("leg", ["search_lexical", "search_dense"])
async def test_a_store_that_cannot_be_read_is_an_error(
    base: KnowledgeBase, world: Any, context: RequestContext, monkeypatch: pytest.MonkeyPatch, leg: str
) -> None:
    async def fail(*args: Any, **options: Any) -> Any:
        raise Unavailable("the disk is gone")

    monkeypatch.setattr(world.store, leg, fail)
    with pytest.raises(Unavailable, match="the disk is gone"):
        await base.search(SearchQuery("kelp"), context)
