"""What every embedding engine promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from configs.schema import CatalogueWeights, LlamaCppEmbedder, MockEmbedder, OnnxEmbedder
from serve_app.engines.base import TextEmbedder
from serve_app.engines.mock import MockTextEmbedder
from serve_app.errors import DeadlineExceeded, InputTooLong
from serve_app.messages import Deadline, RequestContext

TEXTS = [
    "Manta rays glide over the reef at night.",
    "A short one",
    "深海の生き物は光を避ける。",
    "🐟🐟 emoji — and a naïve café",
    "The [SEP] in this text is text.",
    "x",
    "One sentence after another, until it is long. " * 12,
]


MINILM = CatalogueWeights(catalogue="all-minilm-l6-v2")


KINDS = ["mock", "llamacpp", "llamacpp-reproducible", "onnx"]
# With two threads steps run side by side.
TWO_THREADS = [f"{kind}:2" for kind in KINDS if kind != "mock"]


def opened(variant: str, request: pytest.FixtureRequest) -> TextEmbedder:
    kind, _, threads = variant.partition(":")
    num_threads = int(threads or 1)
    if kind == "mock":
        return MockTextEmbedder(MockEmbedder(engine="mock", name="embedder"))
    home: Path = request.getfixturevalue("minilm_home")
    if kind == "onnx":
        from serve_app.engines.onnx.embed import open_onnx_embedder

        onnx = OnnxEmbedder(engine="onnx", name="embedder", weights=MINILM)
        return open_onnx_embedder(onnx, home, num_threads)
    from serve_app.engines.llamacpp.embed import open_llamacpp_embedder

    config = LlamaCppEmbedder(
        engine="llamacpp", name="embedder", weights=MINILM, reproducible=kind == "llamacpp-reproducible"
    )
    return open_llamacpp_embedder(config, home, num_threads)


@pytest.fixture(params=[*KINDS, *TWO_THREADS])
async def embedder(request: pytest.FixtureRequest) -> AsyncIterator[TextEmbedder]:
    engine = opened(request.param, request)
    yield engine
    await engine.close()


@pytest.fixture
def tolerance(request: pytest.FixtureRequest) -> float:
    """Most that a component of a text's vector may change with what it is batched with."""
    # Where nothing is promised: flash attention sums in an order that depends on where a text lies in a batch.
    # Seen over 200 claims: 1.4e-4 with F16 weights, 8e-4 with BF16 (0.99999 in cosine).
    kind = request.node.callspec.params["embedder"].partition(":")[0]
    return {"llamacpp": 2e-3, "llamacpp-reproducible": 1e-6}.get(kind, 1e-5)


async def test_the_card_says_what_callers_need(embedder: TextEmbedder) -> None:
    card = embedder.card()
    assert card.name == "embedder"
    assert card.dim
    assert card.context_tokens
    assert card.embedding_id


async def test_vectors_are_normalised_float32_in_the_order_of_the_texts(
    embedder: TextEmbedder, context: RequestContext, tolerance: float
) -> None:
    found = await embedder.embed(TEXTS, context)
    assert found.vectors.dtype == np.float32
    assert found.vectors.shape == (len(TEXTS), embedder.card().dim)
    assert np.allclose(np.linalg.norm(found.vectors, axis=1), 1.0, atol=1e-5)
    backwards = await embedder.embed(TEXTS[::-1], context)
    assert np.allclose(found.vectors, backwards.vectors[::-1], atol=tolerance)
    assert backwards.num_tokens == found.num_tokens[::-1]


async def test_a_text_has_one_vector_whatever_it_was_batched_with(
    embedder: TextEmbedder, context: RequestContext, tolerance: float
) -> None:
    together = (await embedder.embed(TEXTS * 9, context)).vectors
    for index, text in enumerate(TEXTS):
        alone = (await embedder.embed([text], context)).vectors[0]
        assert np.allclose(together[index :: len(TEXTS)], alone, atol=tolerance), text


async def test_different_texts_have_different_vectors(
    embedder: TextEmbedder, context: RequestContext
) -> None:
    latin = [text for text in TEXTS if text.isascii()]
    vectors = (await embedder.embed(latin, context)).vectors
    cosines = vectors @ vectors.T
    assert np.all(cosines[~np.eye(len(latin), dtype=bool)] < 0.99)


async def test_no_texts_give_no_vectors(embedder: TextEmbedder, context: RequestContext) -> None:
    found = await embedder.embed([], context)
    assert found.vectors.shape == (0, embedder.card().dim)
    assert found.num_tokens == ()


async def test_over_long_is_refused_with_both_numbers(
    embedder: TextEmbedder, context: RequestContext
) -> None:
    limit = embedder.card().context_tokens
    assert limit is not None
    with pytest.raises(InputTooLong, match=rf"input\.1 has \d+ tokens; embedder takes {limit}") as caught:
        await embedder.embed(["short", "reef " * limit * 2], context)
    assert caught.value.param == "input.1"


async def test_over_long_is_cut_when_asked_and_counted(
    embedder: TextEmbedder, context: RequestContext
) -> None:
    limit = embedder.card().context_tokens
    assert limit is not None
    found = await embedder.embed(["short", "reef " * limit * 2], context, truncate=True)
    assert found.num_truncated == 1
    assert found.num_tokens[1] == limit
    assert found.num_tokens[0] < limit


async def test_token_counts_are_those_of_the_model(embedder: TextEmbedder, context: RequestContext) -> None:
    counted = await embedder.count_tokens(TEXTS, context)
    seen = (await embedder.embed(TEXTS, context)).num_tokens
    num_special = {after - before for before, after in zip(counted, seen, strict=True)}
    assert len(num_special) == 1  # the same for every text
    assert num_special.pop() >= 0
    doubled = await embedder.count_tokens([f"{text} {text}" for text in TEXTS], context)
    assert doubled == [2 * count for count in counted]


async def test_many_callers_at_once_get_their_own(
    embedder: TextEmbedder, context: RequestContext, tolerance: float
) -> None:
    lists = [[f"caller {caller} text {number}" for number in range(caller % 5 + 1)] for caller in range(20)]
    answers = await asyncio.gather(*(embedder.embed(texts, context) for texts in lists))
    for texts, answer in zip(lists, answers, strict=True):
        alone = await embedder.embed(texts, context)
        assert np.allclose(answer.vectors, alone.vectors, atol=tolerance)
        assert answer.num_tokens == alone.num_tokens


async def test_a_cancelled_caller_leaves_the_engine_working(
    embedder: TextEmbedder, context: RequestContext
) -> None:
    tasks = [asyncio.create_task(embedder.embed(TEXTS * 20, context)) for _ in range(3)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (await embedder.embed(["still here"], context)).vectors.shape[0] == 1
    await embedder.check_health()


async def test_a_deadline_in_the_past_is_refused(embedder: TextEmbedder, context: RequestContext) -> None:
    late = replace(context, deadline=Deadline.after(-1.0))
    with pytest.raises(DeadlineExceeded):
        await embedder.embed(["too late"], late)


async def test_closing_twice_is_fine(embedder: TextEmbedder) -> None:
    await embedder.close()
    await embedder.close()
