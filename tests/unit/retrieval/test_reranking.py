"""The reranker's stage of a search: its order, its budget, and a search that goes on without it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from configs.schema import RerankConfig, RetrievalConfig
from serve_app.errors import BadRequest, EngineFailed, Unavailable
from serve_app.messages import DocumentInput, RequestContext, Scores, SearchMode, SearchQuery
from serve_app.retrieval.knowledge import KnowledgeBase
from serve_app.retrieval.reranking import RERANK_SKIPPED

TEXTS = {"a.txt": "corals build reefs", "b.txt": "corals and reefs in water", "c.txt": "kelp grows in water"}


class Ranker:
    """Prefers what has `word`; fails or hangs as it is told to."""

    def __init__(self, word: str = "kelp") -> None:
        self.word = word
        self.asked: list[list[str]] = []
        self.fault: Exception | None = None
        self.hangs = False

    async def rerank(self, query: str, passages: Sequence[str], context: RequestContext) -> Scores:
        self.asked.append(list(passages))
        if self.fault:
            raise self.fault
        if self.hangs:
            await asyncio.Event().wait()
        return Scores(tuple(0.9 if self.word in one else 0.1 for one in passages))


@pytest.fixture
def ranker() -> Ranker:
    return Ranker()


async def opened(world: Any, ranker: Any, context: RequestContext, **rerank: Any) -> KnowledgeBase:
    config = world.config.model_copy(update={"retrieval": RetrievalConfig(rerank=RerankConfig(**rerank))})
    base = KnowledgeBase(config, world.store, world.manifest, world.embedder, reranker=ranker)
    await base.put_documents(
        "d", [DocumentInput(path, text.encode()) for path, text in TEXTS.items()], context
    )
    return base


async def test_the_reranker_orders(world: Any, ranker: Ranker, context: RequestContext) -> None:
    base = await opened(world, ranker, context)
    found = await base.search(SearchQuery("corals reefs", k=3), context)
    assert found.passages[0].path == "c.txt"
    assert [one.rerank for one in found.passages] == [0.9, 0.1, 0.1]
    # Ties keep the fusion's order.
    assert found.passages[1].score >= found.passages[2].score
    assert found.flags == ()
    assert all("corals" in text or "kelp" in text for text in ranker.asked[0])


async def test_it_may_lift_what_the_fusion_had_below_k(
    world: Any, ranker: Ranker, context: RequestContext
) -> None:
    base = await opened(world, ranker, context)
    assert [one.path for one in (await base.search(SearchQuery("corals reefs", k=1), context)).passages] == [
        "c.txt"
    ]
    plain = await base.search(SearchQuery("corals reefs", k=1, rerank=False), context)
    assert plain.passages[0].path != "c.txt"
    assert plain.passages[0].rerank is None
    assert len(ranker.asked) == 1


async def test_only_candidates_are_looked_at(world: Any, ranker: Ranker, context: RequestContext) -> None:
    base = await opened(world, ranker, context, num_candidates=2)
    found = await base.search(SearchQuery("corals reefs", k=3), context)
    assert len(ranker.asked[0]) == 2
    assert [one.rerank is None for one in found.passages] == [False, False, True]


@pytest.mark.parametrize("fault", [EngineFailed("garbage"), Unavailable("down")])
async def test_one_that_fails_is_done_without(
    world: Any, ranker: Ranker, context: RequestContext, fault: Exception
) -> None:
    base = await opened(world, ranker, context)
    ranker.fault = fault
    found = await base.search(SearchQuery("corals reefs", k=3), context)
    assert found.flags == (RERANK_SKIPPED,)
    assert [one.score for one in found.passages] == sorted(
        (one.score for one in found.passages), reverse=True
    )
    assert {one.rerank for one in found.passages} == {None}


async def test_one_that_is_late_is_done_without(world: Any, ranker: Ranker, context: RequestContext) -> None:
    base = await opened(world, ranker, context, timeout_s=0.01)
    ranker.hangs = True
    found = await base.search(SearchQuery("corals reefs", k=3), context)
    assert found.flags == (RERANK_SKIPPED,)
    assert len(found.passages) == 3


async def test_by_default_or_on_request(world: Any, ranker: Ranker, context: RequestContext) -> None:
    base = await opened(world, ranker, context, by_default=False)
    await base.search(SearchQuery("corals"), context)
    assert not ranker.asked
    await base.search(SearchQuery("corals", rerank=True, mode=SearchMode.LEXICAL), context)
    assert len(ranker.asked) == 1


async def test_asking_for_one_that_is_not_there(world: Any, context: RequestContext) -> None:
    base = await opened(world, None, context)
    assert (await base.search(SearchQuery("corals"), context)).flags == ()
    with pytest.raises(BadRequest, match="no reranker"):
        await base.search(SearchQuery("corals", rerank=True), context)


async def test_explained(world: Any, ranker: Ranker, context: RequestContext) -> None:
    base = await opened(world, ranker, context)
    found = await base.search(SearchQuery("corals reefs", k=3, explain=True), context)
    assert sorted(one.dense_rank or 0 for one in found.passages) == [1, 2, 3]
    lexical = {one.path: one.lexical_rank for one in found.passages}
    assert sorted((lexical["a.txt"], lexical["b.txt"])) == [1, 2]
    assert lexical["c.txt"] is None
    assert found.stages_ms.keys() >= {"lexical", "embed", "dense", "rerank"}
    assert (await base.search(SearchQuery("corals"), context)).stages_ms == {}


async def test_weights(world: Any, context: RequestContext) -> None:
    base = await opened(world, None, context)
    lexical = await base.search(SearchQuery("kelp corals", k=3, dense_weight=0.0), context)
    alone = await base.search(SearchQuery("kelp corals", k=3, mode=SearchMode.LEXICAL), context)
    assert [one.path for one in lexical.passages] == [one.path for one in alone.passages]
    dense = await base.search(SearchQuery("kelp corals", k=3, lexical_weight=0.0), context)
    by_cosine = await base.search(SearchQuery("kelp corals", k=3, mode=SearchMode.DENSE), context)
    assert [one.path for one in dense.passages] == [one.path for one in by_cosine.passages]
    assert dense.passages[0].score == pytest.approx(1 / 61)
    for weights in ({"dense_weight": -1.0}, {"dense_weight": 0.0, "lexical_weight": 0.0}):
        with pytest.raises(BadRequest, match="weights"):
            await base.search(SearchQuery("corals", **weights), context)
