"""What a model on vLLM does for its callers, on the real one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from serve_app.engines.vllm.engine import VllmEngine
from serve_app.engines.vllm.series import samples
from serve_app.errors import DeadlineExceeded, EngineRefused
from serve_app.messages import Deadline, Endpoint, RequestContext

MESSAGES = [{"role": "user", "content": "What does the import statement do?"}]
CHAT: dict[str, Any] = {"model": "tiny", "messages": MESSAGES, "temperature": 0, "max_tokens": 12}
ENDLESS = CHAT | {"max_tokens": 3000, "ignore_eos": True, "stream": True}
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "strict": True,  # without it vLLM holds a forced call to its form only, not to its parameters
        "parameters": {
            "type": "object",
            "properties": {"days": {"type": "integer", "minimum": 1, "maximum": 3}},
            "required": ["days"],
            "additionalProperties": False,
        },
    },
}

Until = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]


@pytest.fixture
def context() -> RequestContext:
    return RequestContext(request_id="test", tenant="default", deadline=Deadline.after(300.0))


def events(data: bytes) -> list[dict[str, Any]]:
    lines = [line for line in data.split(b"\n") if line.startswith(b"data: ") and line != b"data: [DONE]"]
    return [json.loads(line[6:]) for line in lines]


async def whole(engine: VllmEngine, body: dict[str, Any], context: RequestContext) -> bytes:
    if not body["stream"]:
        return await engine.respond(Endpoint.CHAT, body, context)
    return b"".join([frame async for frame in engine.stream(Endpoint.CHAT, body, context)])


async def running(engine: VllmEngine) -> float:
    found = [one.value for one in samples(await engine.metrics()) if one.name == "vllm:num_requests_running"]
    return sum(found)


async def test_a_stream_has_the_documents_text(engine: VllmEngine, context: RequestContext) -> None:
    document = json.loads(await engine.respond(Endpoint.CHAT, CHAT, context))
    asked = CHAT | {"stream": True, "stream_options": {"include_usage": True}}
    frames = [frame async for frame in engine.stream(Endpoint.CHAT, asked, context)]
    assert all(frame.endswith(b"\n\n") for frame in frames)
    assert b"".join(frames).endswith(b"data: [DONE]\n\n")
    told = events(b"".join(frames))
    text = "".join(one["choices"][0]["delta"].get("content") or "" for one in told if one["choices"])
    assert document["model"] == "tiny"
    assert document["choices"][0]["message"]["content"] == text != ""
    assert told[-1]["usage"] == {
        key: document["usage"][key] for key in ("prompt_tokens", "total_tokens", "completion_tokens")
    }


@pytest.mark.parametrize(
    ("endpoint", "body", "path"),
    [
        (Endpoint.COMPLETIONS, {"prompt": "import", "max_tokens": 3}, ("choices", 0, "text")),
        (Endpoint.RESPONSES, {"input": "hello", "max_output_tokens": 3}, ("output", 0)),
        (Endpoint.MESSAGES, {"messages": MESSAGES, "max_tokens": 3}, ("content", 0)),
        (Endpoint.TOKENIZE, {"prompt": "hello world"}, ("tokens", 0)),
        (Endpoint.DETOKENIZE, {"tokens": [261, 75]}, ("prompt",)),
    ],
)
async def test_every_endpoint_of_a_generator_answers(
    engine: VllmEngine,
    context: RequestContext,
    endpoint: Endpoint,
    body: dict[str, Any],
    path: tuple[Any, ...],
) -> None:
    found = json.loads(await engine.respond(endpoint, {"model": "tiny", **body}, context))
    for step in path:
        found = found[step]
    assert found


async def test_a_stream_without_done_ends_when_it_is_complete(
    engine: VllmEngine, context: RequestContext
) -> None:
    body = {"model": "tiny", "input": "hello", "max_output_tokens": 3}
    frames = [frame async for frame in engine.stream(Endpoint.RESPONSES, body, context)]
    assert events(b"".join(frames))[-1]["type"] == "response.completed"


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_tokens": -1},
        {"max_tokens": 100_000},
        {"messages": []},
        {"temperature": "hot"},
        {"model": "other"},
    ],
)
async def test_a_refusal_is_vllms_own(
    engine: VllmEngine, context: RequestContext, wrong: dict[str, Any]
) -> None:
    body = CHAT | wrong
    with pytest.raises(EngineRefused) as refused:
        await engine.respond(Endpoint.CHAT, body, context)
    answer = await engine._wire.post("/v1/chat/completions", body, context.deadline)
    assert (refused.value.status, refused.value.document) == (answer.status, answer.content)
    assert refused.value.message == json.loads(answer.content)["error"]["message"]
    with pytest.raises(EngineRefused) as refused:
        [frame async for frame in engine.stream(Endpoint.CHAT, body, context)]
    assert refused.value.document == answer.content


async def test_tools_hold_the_answer(
    engine: VllmEngine, context: RequestContext, no_blanks: dict[str, int]
) -> None:
    forced = {"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "weather"}}}
    asked = CHAT | forced | {"max_tokens": 64, "logit_bias": no_blanks}
    document = json.loads(await engine.respond(Endpoint.CHAT, asked, context))
    call = document["choices"][0]["message"]["tool_calls"][0]["function"]
    assert call["name"] == "weather"
    assert json.loads(call["arguments"])["days"] in (1, 2, 3)


async def test_schemas_hold_the_answer(engine: VllmEngine, context: RequestContext) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "w", "schema": {"enum": ["yes", "no"]}}}
    document = json.loads(await engine.respond(Endpoint.CHAT, CHAT | {"response_format": schema}, context))
    assert json.loads(document["choices"][0]["message"]["content"]) in ("yes", "no")


async def test_a_caller_that_leaves_frees_its_place(
    engine: VllmEngine, context: RequestContext, until: Until
) -> None:
    async def is_running() -> bool:
        return await running(engine) == 1

    async def is_idle() -> bool:
        return await running(engine) == 0

    async with aclosing(engine.stream(Endpoint.CHAT, ENDLESS, context)) as frames:
        await anext(frames)
        await until(is_running)
    await until(is_idle)

    asking = asyncio.create_task(engine.respond(Endpoint.CHAT, ENDLESS | {"stream": False}, context))
    await until(is_running)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await until(is_idle)


async def test_the_deadline_frees_it_too(engine: VllmEngine, context: RequestContext, until: Until) -> None:
    async def is_idle() -> bool:
        return await running(engine) == 0

    for asked in (ENDLESS, ENDLESS | {"stream": False}):
        short = replace(context, deadline=Deadline.after(1.0))
        with pytest.raises(DeadlineExceeded):
            await whole(engine, asked, short)
        await until(is_idle)


async def test_it_is_well(engine: VllmEngine) -> None:
    await engine.check_health()


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        (Endpoint.EMBEDDINGS, {"input": ["one", "two"]}),
        (Endpoint.SCORE, {"text_1": "one", "text_2": ["one", "another"]}),
        (Endpoint.RERANK, {"query": "one", "documents": ["another", "one"]}),
        (Endpoint.POOLING, {"input": ["one"]}),
        (Endpoint.TOKENIZE, {"prompt": "one"}),
    ],
)
async def test_every_endpoint_of_a_pooling_model_answers(
    pooling_engine: VllmEngine, context: RequestContext, endpoint: Endpoint, body: dict[str, Any]
) -> None:
    assert json.loads(await pooling_engine.respond(endpoint, {"model": "tiny", **body}, context))


async def test_the_same_text_is_nearest_to_itself(
    pooling_engine: VllmEngine, context: RequestContext
) -> None:
    body = {"model": "tiny", "query": "one", "documents": ["another thing", "one"]}
    ranked = json.loads(await pooling_engine.respond(Endpoint.RERANK, body, context))
    assert ranked["results"][0]["index"] == 1


async def test_bytes_that_are_no_json_are_refused_by_name(
    pooling_engine: VllmEngine, context: RequestContext
) -> None:
    body = {"model": "tiny", "input": "one", "encoding_format": "bytes"}
    with pytest.raises(Exception, match="encoding_format float or base64"):
        await pooling_engine.respond(Endpoint.EMBEDDINGS, body, context)
