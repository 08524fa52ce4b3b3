from __future__ import annotations

import pytest

from configs.schema import ExtractiveModel
from serve_app.engines.base import GenerationRequest, SamplingParams, TextChunk
from serve_app.engines.extractive import ExtractiveGenerator
from serve_app.errors import BadRequest
from serve_app.grounding.prompt import NOTHING_FITS, render, sources_of
from serve_app.messages import Passage, RequestContext
from serve_app.openai_api.requests import ChatMessage, parse_chat

NONCE = "00ff00ff00ff00ff"
TEXTS = (
    "The deadline travels with the request. It rains.",
    "When the deadline is over, engines stop work on the request.",
)


def grounded(
    question: str = "What happens to a request at the deadline?", **sampling: object
) -> GenerationRequest:
    passages = [Passage(f"p{n}", "d", "s", "a.md", "A", (), text, n) for n, text in enumerate(TEXTS)]
    messages = render(question, sources_of(passages), NONCE)
    parsed = parse_chat({"model": "m", "messages": messages}).messages
    return GenerationRequest(tuple(parsed), None, SamplingParams(**sampling))  # type: ignore[arg-type]


async def generate(
    request: GenerationRequest, context: RequestContext, max_sentences: int = 4
) -> list[TextChunk]:
    engine = ExtractiveGenerator(
        ExtractiveModel(name="quotes", engine="extractive", max_sentences=max_sentences)
    )
    return [chunk async for chunk in engine.generate(request, context)]


async def test_it_streams_a_sentence_at_a_time_each_cited(context: RequestContext) -> None:
    chunks = await generate(grounded(), context)
    assert [chunk.text for chunk in chunks] == [
        "The deadline travels with the request. [1]",
        "\n\nWhen the deadline is over, engines stop work on the request. [2]",
    ]
    assert [chunk.finish_reason for chunk in chunks] == [None, "stop"]


async def test_it_counts_words(context: RequestContext) -> None:
    request = grounded()
    last = (await generate(request, context))[-1]
    assert last.num_completion_tokens == 7 + 12
    assert request.messages is not None
    assert last.num_prompt_tokens == sum(len(message.text().split()) for message in request.messages)


async def test_the_configuration_bounds_the_sentences(context: RequestContext) -> None:
    assert len(await generate(grounded(), context, max_sentences=1)) == 1


async def test_max_tokens_cuts_between_words(context: RequestContext) -> None:
    last = (await generate(grounded(max_tokens=3), context))[-1]
    assert (last.text, last.finish_reason, last.num_completion_tokens) == (
        "The deadline travels",
        "length",
        3,
    )


async def test_max_tokens_that_suffice_cut_nothing(context: RequestContext) -> None:
    assert (await generate(grounded(max_tokens=19), context))[-1].finish_reason == "stop"
    assert (await generate(grounded(max_tokens=7), context))[-1].finish_reason == "length"


async def test_a_stop_string_across_sentences(context: RequestContext) -> None:
    chunks = await generate(grounded(stop=("[1]\n\nWhen",)), context)
    assert "".join(chunk.text for chunk in chunks) == "The deadline travels with the request. "
    assert chunks[-1].finish_reason == "stop"


async def test_it_says_that_nothing_fits(context: RequestContext) -> None:
    assert [chunk.text for chunk in await generate(grounded("How is bread baked?"), context)] == [
        NOTHING_FITS
    ]


@pytest.mark.parametrize(
    "request_",
    [
        GenerationRequest((ChatMessage(role="user", content="What is a deadline?"),), None, SamplingParams()),
        GenerationRequest(None, "What is a deadline?", SamplingParams()),
        GenerationRequest(None, (1, 2, 3), SamplingParams()),
    ],
)
async def test_without_passages_it_says_what_it_is_and_what_to_do(
    request_: GenerationRequest, context: RequestContext
) -> None:
    with pytest.raises(BadRequest, match=r"quotes is not a generative model.*manta models pull"):
        await generate(request_, context)


async def test_a_grounded_text_works_as_a_plain_prompt(context: RequestContext) -> None:
    messages = grounded().messages
    assert messages is not None
    plain = GenerationRequest(None, messages[-1].text(), SamplingParams())
    assert "[1]" in (await generate(plain, context))[0].text


async def test_ignore_eos_is_refused_by_name(context: RequestContext) -> None:
    with pytest.raises(BadRequest) as caught:
        await generate(grounded(ignore_eos=True), context)
    assert caught.value.param == "ignore_eos"


def test_it_is_not_generative() -> None:
    assert not ExtractiveGenerator(ExtractiveModel(name="q", engine="extractive")).card().is_generative
