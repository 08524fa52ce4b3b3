from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from serve_app.engines.base import GenerationRequest, TextChunk
from serve_app.engines.text_edge import TextEdge
from serve_app.errors import BadRequest, DeadlineExceeded, EngineFailed, MantaError
from serve_app.messages import Deadline, Endpoint, JsonObject, ModelCard, RequestContext

CHUNKS = [TextChunk("Hel"), TextChunk(""), TextChunk("lo"), TextChunk("", "stop", 3, 2, 1)]


class Scripted:
    """A TextGenerator that plays chunks and errors, and remembers what it was asked."""

    def __init__(self, steps: list[TextChunk | MantaError]) -> None:
        self.steps = steps
        self.requests: list[GenerationRequest] = []
        self.is_closed = False

    def card(self) -> ModelCard:
        return ModelCard("m", "scripted", (Endpoint.CHAT, Endpoint.COMPLETIONS))

    async def generate(self, request: GenerationRequest, context: RequestContext) -> AsyncIterator[TextChunk]:
        self.requests.append(request)
        try:
            for step in self.steps:
                if isinstance(step, MantaError):
                    raise step
                yield step
        finally:
            self.is_closed = True

    async def check_health(self) -> None: ...

    async def close(self) -> None: ...


def chat(**fields: Any) -> JsonObject:
    return {"model": "m", "messages": [{"role": "user", "content": "Hi"}]} | fields


def completion(**fields: Any) -> JsonObject:
    return {"model": "m", "prompt": "Hi"} | fields


async def streamed(
    edge: TextEdge, endpoint: Endpoint, body: JsonObject, context: RequestContext
) -> list[Any]:
    data = b"".join([frame async for frame in edge.stream(endpoint, body, context)]).decode()
    events = [event.removeprefix("data: ") for event in data.split("\n\n")[:-1]]
    assert events[-1] == "[DONE]"
    return [json.loads(event) for event in events[:-1]]


async def test_a_chat_document(context: RequestContext) -> None:
    document = json.loads(await TextEdge(Scripted(list(CHUNKS))).respond(Endpoint.CHAT, chat(), context))
    assert document["object"] == "chat.completion"
    assert document["choices"][0]["message"]["content"] == "Hello"
    assert document["choices"][0]["finish_reason"] == "stop"
    assert document["usage"] == {
        "prompt_tokens": 3,
        "completion_tokens": 2,
        "total_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 1},
    }


async def test_a_chat_stream_opens_with_the_role_and_has_no_usage_unless_asked(
    context: RequestContext,
) -> None:
    events = await streamed(TextEdge(Scripted(list(CHUNKS))), Endpoint.CHAT, chat(), context)
    deltas = [event["choices"][0]["delta"] for event in events]
    assert deltas == [
        {"role": "assistant", "content": "", "refusal": None},
        {"content": "Hel"},
        {"content": "lo"},
        {},
    ]
    assert all("usage" not in event for event in events)


async def test_usage_comes_last_and_without_choices(context: RequestContext) -> None:
    body = chat(stream_options={"include_usage": True})
    last = (await streamed(TextEdge(Scripted(list(CHUNKS))), Endpoint.CHAT, body, context))[-1]
    assert last["choices"] == []
    assert last["usage"]["total_tokens"] == 5


async def test_a_completion_stream_has_text(context: RequestContext) -> None:
    events = await streamed(TextEdge(Scripted(list(CHUNKS))), Endpoint.COMPLETIONS, completion(), context)
    assert [event["choices"][0]["text"] for event in events] == ["Hel", "lo", ""]


async def test_an_early_error_comes_before_any_frame(context: RequestContext) -> None:
    stream = TextEdge(Scripted([EngineFailed("broken")])).stream(Endpoint.CHAT, chat(), context)
    with pytest.raises(EngineFailed):
        await anext(stream)


async def test_a_generator_that_just_ends_has_failed(context: RequestContext) -> None:
    edge = TextEdge(Scripted([TextChunk("half")]))
    with pytest.raises(EngineFailed, match="finish reason"):
        await edge.respond(Endpoint.CHAT, chat(), context)
    with pytest.raises(EngineFailed, match="finish reason"):
        await streamed(edge, Endpoint.CHAT, chat(), context)


async def test_closing_the_stream_closes_the_generator(context: RequestContext) -> None:
    generator = Scripted(list(CHUNKS))
    stream = TextEdge(generator).stream(Endpoint.CHAT, chat(), context)
    await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]
    assert generator.is_closed


async def test_a_deadline_in_the_past_starts_nothing(context: RequestContext) -> None:
    generator = Scripted(list(CHUNKS))
    late = replace(context, deadline=Deadline.after(-1))
    with pytest.raises(DeadlineExceeded):
        await TextEdge(generator).respond(Endpoint.CHAT, chat(), late)
    assert generator.requests == []


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (chat(tools=[{"type": "function"}]), "tools"),
        (chat(response_format={"type": "json_object"}), "response_format"),
        (chat(logprobs=True), "logprobs"),
        (chat(logit_bias={"1": 2.0}), "logit_bias"),
        (chat(n=2), "n"),
        (chat(messages=[]), "messages"),
        (chat(messages=[{"role": "poet", "content": "x"}]), "messages.0.role"),
        (chat(temperature="hot"), "temperature"),
        (chat(max_tokens=0), "max_tokens"),
        (completion(echo=True), "echo"),
        (completion(suffix="x"), "suffix"),
        (completion(logprobs=1), "logprobs"),
        (completion(best_of=2), "best_of"),
        (completion(prompt=""), "prompt"),
        (completion(prompt=[]), "prompt"),
        (completion(prompt=["a", "b"]), "prompt"),
    ],
)
async def test_what_is_not_served_is_refused_by_name(
    body: JsonObject, param: str, context: RequestContext
) -> None:
    endpoint = Endpoint.CHAT if "messages" in body else Endpoint.COMPLETIONS
    generator = Scripted(list(CHUNKS))
    with pytest.raises(BadRequest) as caught:
        await TextEdge(generator).respond(endpoint, body, context)
    assert caught.value.param == param
    assert generator.requests == []


async def test_tools_that_may_not_be_called_change_nothing(context: RequestContext) -> None:
    body = chat(tools=[{"type": "function"}], tool_choice="none", response_format={"type": "text"})
    assert await TextEdge(Scripted(list(CHUNKS))).respond(Endpoint.CHAT, body, context)


async def test_embeddings_are_not_served(context: RequestContext) -> None:
    with pytest.raises(BadRequest, match="embeddings"):
        await TextEdge(Scripted([])).respond(Endpoint.EMBEDDINGS, {"model": "m", "input": "x"}, context)


async def test_sampling_reaches_the_generator(context: RequestContext) -> None:
    generator = Scripted(list(CHUNKS))
    body = chat(
        max_tokens=5, max_completion_tokens=9, temperature=0, stop=["a", ""], seed=3, top_p=0.5, min_p=0.1
    )
    await TextEdge(generator).respond(Endpoint.CHAT, body, context)
    sampling = generator.requests[0].sampling
    assert (sampling.max_tokens, sampling.temperature, sampling.stop, sampling.seed) == (9, 0, ("a",), 3)
    assert (sampling.top_p, sampling.min_p) == (0.5, 0.1)


@pytest.mark.parametrize(
    ("prompt", "seen"), [("Hi", "Hi"), (["Hi"], "Hi"), ([1, 2], (1, 2)), ([[1, 2]], (1, 2))]
)
async def test_one_prompt_in_each_of_its_forms(prompt: object, seen: object, context: RequestContext) -> None:
    generator = Scripted(list(CHUNKS))
    await TextEdge(generator).respond(Endpoint.COMPLETIONS, completion(prompt=prompt), context)
    assert generator.requests[0].prompt == seen
