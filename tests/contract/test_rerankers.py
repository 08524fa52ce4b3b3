"""What every reranker does: one score a passage from 0 to 1, the same alone as among others, cut where too long."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gguf_models.random_llama import named_model
from benchmarks.gguf_models.random_reranker import write_random_reranker
from configs.schema import FileWeights, LlamaCppReranker, MockReranker
from serve_app.engines.registry import open_reranker
from serve_app.engines.rerank.base import RerankEngine
from serve_app.errors import BadRequest, ConfigError, DeadlineExceeded
from serve_app.messages import Deadline, Endpoint, RequestContext

PASSAGES = ["w1 w2 w3", "w7", "w1 w9 w10 w11 w12", "w400 w401"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_reranker(tmp_path_factory.mktemp("rank") / "rank.gguf")


@pytest.fixture(params=["mock", "llamacpp"])
async def engine(request: Any, weights: Path) -> AsyncIterator[RerankEngine]:
    config = (
        MockReranker(name="rank", engine="mock", context_tokens=128)
        if request.param == "mock"
        else LlamaCppReranker(name="rank", engine="llamacpp", weights=FileWeights(path=str(weights)))
    )
    opened = open_reranker(config, weights.parent, 1)
    yield opened
    await opened.close()


async def test_a_score_a_passage_whoever_else_is_there(engine: RerankEngine, context: RequestContext) -> None:
    together = await engine.rerank("w1 w2", PASSAGES, context)
    assert len(together.values) == len(PASSAGES)
    assert all(0.0 <= value <= 1.0 for value in together.values)
    assert len(set(together.values)) > 1
    alone = [(await engine.rerank("w1 w2", [one], context)).values[0] for one in PASSAGES]
    assert together.values == pytest.approx(alone, abs=1e-3)
    backwards = await engine.rerank("w1 w2", PASSAGES[::-1], context)
    assert backwards.values == pytest.approx(together.values[::-1], abs=1e-3)
    assert together.num_tokens > 0


async def test_the_question_counts(engine: RerankEngine, context: RequestContext) -> None:
    one, other = [await engine.rerank(query, PASSAGES, context) for query in ("w1 w2", "w400")]
    assert one.values != pytest.approx(other.values, abs=1e-6)


async def test_what_is_too_long_is_cut_and_counted(engine: RerankEngine, context: RequestContext) -> None:
    found = await engine.rerank("w1 " * 300, ["w2", "w3 " * 400], context)
    assert found.num_truncated >= 1
    assert len(found.values) == 2


async def test_nothing_to_order(engine: RerankEngine, context: RequestContext) -> None:
    assert (await engine.rerank("w1", [], context)).values == ()


async def test_many_callers_at_once(engine: RerankEngine, context: RequestContext) -> None:
    expected = (await engine.rerank("w1 w2", PASSAGES, context)).values
    found = await asyncio.gather(*(engine.rerank("w1 w2", PASSAGES, context) for _ in range(8)))
    assert all(one.values == pytest.approx(expected, abs=1e-3) for one in found)


async def test_the_edge_speaks_the_common_shape(engine: RerankEngine, context: RequestContext) -> None:
    body: dict[str, Any] = {
        "model": "rank",
        "query": "w1 w2",
        "documents": [*PASSAGES[:2], {"text": PASSAGES[2]}],
    }
    answer = json.loads(await engine.respond(Endpoint.RERANK, body, context))
    scores = [one["relevance_score"] for one in answer["results"]]
    assert scores == sorted(scores, reverse=True)
    assert sorted(one["index"] for one in answer["results"]) == [0, 1, 2]
    assert all(one["document"]["text"] == PASSAGES[one["index"]] for one in answer["results"])
    assert answer["usage"]["total_tokens"] > 0
    first = json.loads(
        await engine.respond(Endpoint.RERANK, body | {"top_n": 1, "return_documents": False}, context)
    )
    assert first["results"] == [{key: answer["results"][0][key] for key in ("index", "relevance_score")}]
    with pytest.raises(BadRequest, match="documents"):
        await engine.respond(Endpoint.RERANK, body | {"documents": []}, context)
    with pytest.raises(BadRequest, match="/v1/rerank only"):
        await engine.respond(Endpoint.CHAT, body, context)


async def test_a_deadline_that_is_over(engine: RerankEngine) -> None:
    with pytest.raises(DeadlineExceeded):
        await engine.rerank("w1", PASSAGES, RequestContext("r", "t", Deadline.after(0.0)))


def test_a_file_that_does_not_rank_is_refused(tmp_path: Path) -> None:
    path = named_model(tmp_path, "tiny:F32")
    config = LlamaCppReranker(name="rank", engine="llamacpp", weights=FileWeights(path=str(path)))
    with pytest.raises(ConfigError, match="is no reranker"):
        open_reranker(config, tmp_path, 1)
