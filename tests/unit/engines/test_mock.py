from __future__ import annotations

import asyncio
from contextlib import aclosing

import numpy as np
import pytest

from configs.schema import MockEmbedder, MockModel
from serve_app.engines.base import GenerationRequest, SamplingParams, TextChunk
from serve_app.engines.mock import MockGenerator, MockTextEmbedder
from serve_app.errors import BadRequest, InputTooLong
from serve_app.messages import RequestContext


def model(**changes: object) -> MockGenerator:
    return MockGenerator(
        MockModel.model_validate({"name": "m", "engine": "mock", "ttft_ms": 0, "tpot_ms": 0} | changes)
    )


def request(**sampling: object) -> GenerationRequest:
    return GenerationRequest(None, "four words as prompt", SamplingParams(**sampling))  # type: ignore[arg-type]


async def chunks(
    generator: MockGenerator, wanted: GenerationRequest, context: RequestContext
) -> list[TextChunk]:
    return [chunk async for chunk in generator.generate(wanted, context)]


async def test_text_follows_from_the_seeds(context: RequestContext) -> None:
    first, again = [await chunks(model(seed=1), request(seed=7), context) for _ in range(2)]
    other = await chunks(model(seed=2), request(seed=7), context)
    assert first == again
    assert [chunk.text for chunk in first] != [chunk.text for chunk in other]


async def test_it_counts_words_and_ends_at_max_tokens(context: RequestContext) -> None:
    last = (await chunks(model(), request(max_tokens=5), context))[-1]
    assert last == TextChunk(last.text, "length", num_prompt_tokens=4, num_completion_tokens=5)


async def test_the_context_bounds_prompt_and_answer_together(context: RequestContext) -> None:
    assert (await chunks(model(context_tokens=16), request(max_tokens=100), context))[
        -1
    ].num_completion_tokens == 12
    long = GenerationRequest(None, "word " * 16, SamplingParams())
    with pytest.raises(InputTooLong, match="16 tokens; m takes 16"):
        await chunks(model(context_tokens=16), long, context)


async def test_a_stop_string_ends_the_text_before_it(context: RequestContext) -> None:
    whole = "".join(chunk.text for chunk in await chunks(model(), request(max_tokens=40), context))
    stop = whole.split()[5] + " "
    ended = await chunks(model(), request(max_tokens=40, stop=(stop,)), context)
    assert "".join(chunk.text for chunk in ended) == whole[: whole.index(stop)]
    assert ended[-1].finish_reason == "stop"


async def test_sequences_beyond_the_bound_wait_and_a_closed_one_makes_room(context: RequestContext) -> None:
    generator = model(max_concurrent=1)
    async with aclosing(generator.generate(request(), context)) as first:  # type: ignore[type-var]
        await anext(first)
        waiting = asyncio.ensure_future(chunks(generator, request(max_tokens=1), context))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not waiting.done()
        assert generator.num_running == 1
    assert len(await waiting) == 1
    assert generator.num_running == 0


def embedder(**changes: object) -> MockTextEmbedder:
    return MockTextEmbedder(MockEmbedder.model_validate({"name": "e", "engine": "mock"} | changes))


async def test_texts_that_share_words_are_near(context: RequestContext) -> None:
    made = await embedder().embed(["red fox runs", "red fox sleeps", "blue moon"], context)
    near, far = made.vectors[0] @ made.vectors[1], made.vectors[0] @ made.vectors[2]
    assert near > 0.6 > far
    assert np.allclose(np.linalg.norm(made.vectors, axis=1), 1.0)
    assert made.num_tokens == (3, 3, 2)


async def test_a_long_text_is_refused_or_cut_as_asked(context: RequestContext) -> None:
    texts = ["short", "word " * 9]
    with pytest.raises(InputTooLong) as caught:
        await embedder(context_tokens=8).embed(texts, context)
    assert caught.value.param == "input.1"
    made = await embedder(context_tokens=8).embed(texts, context, truncate=True)
    assert (made.num_tokens, made.num_truncated) == ((1, 8), 1)


async def test_token_ids_are_refused(context: RequestContext) -> None:
    with pytest.raises(BadRequest, match="token ids"):
        await embedder().embed([[1, 2]], context)


async def test_no_texts_give_no_rows(context: RequestContext) -> None:
    assert (await embedder(dim=8).embed([], context)).vectors.shape == (0, 8)
