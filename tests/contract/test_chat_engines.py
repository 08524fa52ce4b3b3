"""What every chat engine promises, whoever makes the text."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from configs.schema import ExternalModel, ExtractiveModel, FileWeights, LlamaCppModel, MockModel
from serve_app.engines.base import ModelEngine
from serve_app.engines.external import ExternalEngine
from serve_app.engines.extractive import ExtractiveGenerator
from serve_app.engines.llamacpp.chat import open_llamacpp_chat
from serve_app.engines.mock import MockGenerator
from serve_app.engines.text_edge import TextEdge
from serve_app.errors import BadRequest, DeadlineExceeded, InputTooLong, MantaError
from serve_app.grounding.prompt import render, sources_of
from serve_app.messages import Deadline, Endpoint, JsonObject, Passage, RequestContext
from serve_app.openai_api.responses import error_body
from serve_app.openai_api.sse import SseReader


@dataclass
class Subject:
    """An engine with a single slot where it has slots, and prompts that it answers at some length."""

    engine: ModelEngine
    messages: list[JsonObject]
    prompt: str
    too_long: str | None  # a prompt that does not fit; None: nothing is too long
    is_endless: bool  # max_tokens 5000 keeps it busy for many seconds
    refused: dict[str, Any] = field(default_factory=lambda: {"n": 2, "logit_bias": {"1": 1.0}})

    def chat(self, **fields: Any) -> JsonObject:
        return {"model": "asked-name", "messages": self.messages, "temperature": 0, "seed": 1} | fields

    def completion(self, **fields: Any) -> JsonObject:
        return {"model": "asked-name", "prompt": self.prompt, "temperature": 0, "seed": 1} | fields


def mock_model(tpot_us_per_running: float = 0.0) -> TextEdge:
    config = MockModel(
        name="mock",
        engine="mock",
        ttft_ms=0,
        tpot_ms=5,
        num_output_tokens=12,
        tpot_us_per_running=tpot_us_per_running,
        max_concurrent=1,
        context_tokens=6000,
    )
    return TextEdge(MockGenerator(config))


@asynccontextmanager
async def mock(_request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    messages = [{"role": "user", "content": "What is a deadline?"}]
    yield Subject(mock_model(), messages, "What is a deadline?", "word " * 7000, is_endless=True)


@asynccontextmanager
async def batching_mock(_request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    messages = [{"role": "user", "content": "What is a deadline?"}]
    engine = mock_model(tpot_us_per_running=100)
    yield Subject(engine, messages, "What is a deadline?", "word " * 7000, is_endless=True)
    await engine.close()


@asynccontextmanager
async def extractive(_request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    texts = (
        "The deadline travels with each request and ends it.",
        "Engines stop at the deadline of a request.",
    )
    passages = [Passage(f"p{n}", "d", "s", "a.md", "A", (), text, n) for n, text in enumerate(texts)]
    messages = render("What is the deadline of a request?", sources_of(passages), "0123456789abcdef")
    engine = TextEdge(ExtractiveGenerator(ExtractiveModel(name="extractive", engine="extractive")))
    yield Subject(engine, messages, messages[-1]["content"], None, is_endless=False)


@asynccontextmanager
async def external(_request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    """An endpoint on loopback that is the mock engine behind a small application."""
    config = uvicorn.Config(openai_app(mock_model()), port=0, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        assert not serving.done(), "the endpoint did not start"
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    engine = ExternalEngine(
        ExternalModel(
            name="external",
            engine="external",
            base_url=f"http://127.0.0.1:{port}/v1",
            upstream_model="mock-1",
        )
    )
    messages = [{"role": "user", "content": "What is a deadline?"}]
    try:
        yield Subject(engine, messages, "What is a deadline?", "word " * 7000, is_endless=True)
    finally:
        await engine.close()
        server.should_exit = True
        await serving


def openai_app(engine: ModelEngine) -> FastAPI:
    app = FastAPI()

    @app.get("/v1/models")
    async def models() -> JSONResponse:
        return JSONResponse({"object": "list", "data": []})

    @app.post("/v1/{path:path}")
    async def call(path: str, request: Request) -> Response:
        body = await request.json()
        assert body["model"] == "mock-1"
        context = RequestContext("upstream", "default", Deadline.after(60))
        try:
            if not body.get("stream"):
                document = await unless_gone(request, engine.respond(Endpoint(path), body, context))
                return Response(document, media_type="application/json")
            frames = engine.stream(Endpoint(path), body, context)
            first = await anext(frames)
        except MantaError as exc:
            return JSONResponse(error_body(exc), exc.status)

        async def rest() -> AsyncIterator[bytes]:
            yield first
            async with aclosing(frames) as others:  # type: ignore[type-var]
                async for frame in others:
                    yield frame

        return StreamingResponse(rest(), media_type="text/event-stream")

    return app


async def unless_gone(request: Request, call: Coroutine[Any, Any, bytes]) -> bytes:
    """The call's result; it is cancelled when the client closes the connection."""
    working = asyncio.ensure_future(call)
    gone = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        return await working if working.done() else b"{}"
    finally:
        working.cancel()
        gone.cancel()
        await asyncio.gather(working, gone, return_exceptions=True)


@asynccontextmanager
async def llamacpp(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    """The toy model with a chat template: it writes stories about everything."""
    template = "{% for message in messages %}{{ message.content }}{% endfor %}"
    path: Path = request.getfixturevalue("stories_with_template")(template)
    config = LlamaCppModel(
        name="stories", engine="llamacpp", weights=FileWeights(path=str(path)), context_tokens=6000
    )
    engine = TextEdge(open_llamacpp_chat(config, path.parent, 1))
    messages = [{"role": "user", "content": "Once upon a time"}]
    yield Subject(
        engine,
        messages,
        "Once upon a time",
        "word " * 7000,
        is_endless=True,
        refused={"n": 2, "functions": [{"name": "f"}]},
    )


ENGINES: dict[str, Callable[[pytest.FixtureRequest], AbstractAsyncContextManager[Subject]]] = {
    "mock": mock,
    "mock that batches": batching_mock,
    "extractive": extractive,
    "external": external,
    "llamacpp": llamacpp,
}


# The extractive engine answers at once, and nothing is too long for it.
GENERATING = pytest.mark.parametrize(
    "subject", [name for name in ENGINES if name != "extractive"], indirect=True
)


@pytest.fixture(params=ENGINES)
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    async with ENGINES[request.param](request) as made:
        yield made
        await made.engine.close()


async def respond(subject: Subject, endpoint: Endpoint, body: JsonObject, context: RequestContext) -> Any:
    return json.loads(await subject.engine.respond(endpoint, body, context))


async def stream(
    subject: Subject, endpoint: Endpoint, body: JsonObject, context: RequestContext
) -> list[Any]:
    """The stream's documents; that it ends with [DONE] and that frames are whole events is checked here."""
    found: list[str] = []
    async for frame in subject.engine.stream(endpoint, body | {"stream": True}, context):
        reader = SseReader()
        found += reader.feed(frame)
        assert reader.feed(b"\n\n") == [], "a frame ends inside an event"
    assert found[-1] == "[DONE]"
    assert found.count("[DONE]") == 1
    return [json.loads(data) for data in found[:-1]]


def text_of(events: list[Any]) -> str:
    choices = [event["choices"][0] for event in events if event["choices"]]
    return "".join(
        choice["text"] if "text" in choice else choice["delta"].get("content") or "" for choice in choices
    )


def finish_of(events: list[Any]) -> str:
    reasons = [
        choice["finish_reason"] for event in events for choice in event["choices"] if choice["finish_reason"]
    ]
    assert len(reasons) == 1
    return str(reasons[0])


async def test_the_card_and_health(subject: Subject) -> None:
    card = subject.engine.card()
    assert {Endpoint.CHAT, Endpoint.COMPLETIONS} <= set(card.endpoints)
    await subject.engine.check_health()


async def test_chat_answers_and_counts(subject: Subject, context: RequestContext) -> None:
    document = await respond(subject, Endpoint.CHAT, subject.chat(max_tokens=12), context)
    assert document["object"] == "chat.completion"
    assert document["model"] == "asked-name"
    choice = document["choices"][0]
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"].strip()
    assert choice["finish_reason"] in ("stop", "length")
    usage = document["usage"]
    assert usage["prompt_tokens"] > 0
    assert 0 < usage["completion_tokens"] <= 12
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


async def test_completions_answer_and_count(subject: Subject, context: RequestContext) -> None:
    document = await respond(subject, Endpoint.COMPLETIONS, subject.completion(max_tokens=12), context)
    assert document["object"] == "text_completion"
    assert document["choices"][0]["text"].strip()
    assert document["usage"]["completion_tokens"] > 0


@pytest.mark.parametrize("endpoint", [Endpoint.CHAT, Endpoint.COMPLETIONS])
async def test_a_stream_says_what_the_document_says(
    subject: Subject, endpoint: Endpoint, context: RequestContext
) -> None:
    body = subject.chat(max_tokens=12) if endpoint is Endpoint.CHAT else subject.completion(max_tokens=12)
    document = await respond(subject, endpoint, body, context)
    events = await stream(subject, endpoint, body | {"stream_options": {"include_usage": True}}, context)
    choice = document["choices"][0]
    text = choice["message"]["content"] if endpoint is Endpoint.CHAT else choice["text"]
    assert text_of(events) == text
    assert finish_of(events) == choice["finish_reason"]
    assert {event["model"] for event in events} == {"asked-name"}
    counted = [event["usage"] for event in events if event.get("usage")]
    counts = ("prompt_tokens", "completion_tokens", "total_tokens")
    assert [[usage[key] for key in counts] for usage in counted] == [
        [document["usage"][key] for key in counts]
    ]


async def test_a_chat_stream_begins_with_the_role(subject: Subject, context: RequestContext) -> None:
    events = await stream(subject, Endpoint.CHAT, subject.chat(max_tokens=3), context)
    assert events[0]["choices"][0]["delta"]["role"] == "assistant"
    assert not any(event.get("usage") for event in events), "usage that nobody asked for"


async def test_max_tokens_ends_the_answer(subject: Subject, context: RequestContext) -> None:
    document = await respond(subject, Endpoint.CHAT, subject.chat(max_tokens=2), context)
    assert document["choices"][0]["finish_reason"] == "length"
    assert document["usage"]["completion_tokens"] == 2
    assert finish_of(await stream(subject, Endpoint.CHAT, subject.chat(max_tokens=2), context)) == "length"


async def test_a_stop_string_ends_the_answer_before_it(subject: Subject, context: RequestContext) -> None:
    whole = (await respond(subject, Endpoint.CHAT, subject.chat(max_tokens=12), context))["choices"][0][
        "message"
    ]
    text = whole["content"]
    stop = text[len(text) // 2 : len(text) // 2 + 3]
    body = subject.chat(max_tokens=12, stop=[stop])
    choice = (await respond(subject, Endpoint.CHAT, body, context))["choices"][0]
    assert choice["message"]["content"] == text[: text.index(stop)]
    assert choice["finish_reason"] == "stop"
    events = await stream(subject, Endpoint.CHAT, body, context)
    assert (text_of(events), finish_of(events)) == (text[: text.index(stop)], "stop")


async def test_an_endpoint_that_it_does_not_serve_is_refused(
    subject: Subject, context: RequestContext
) -> None:
    with pytest.raises(BadRequest):
        await subject.engine.respond(Endpoint.EMBEDDINGS, {"model": "asked-name", "input": "x"}, context)
    with pytest.raises(BadRequest):
        await anext(
            subject.engine.stream(Endpoint.EMBEDDINGS, {"model": "asked-name", "input": "x"}, context)
        )


async def test_nothing_to_answer_is_refused_by_name(subject: Subject, context: RequestContext) -> None:
    for endpoint, body, param in (
        (Endpoint.COMPLETIONS, subject.completion(prompt=""), "prompt"),
        (Endpoint.CHAT, subject.chat(messages=[]), "messages"),
    ):
        with pytest.raises(BadRequest) as caught:
            await subject.engine.respond(endpoint, body, context)
        assert caught.value.param == param


async def test_fields_that_it_does_not_serve_are_refused_by_name(
    subject: Subject, context: RequestContext
) -> None:
    for name, value in subject.refused.items():
        body = subject.chat(**{name: value})
        with pytest.raises(BadRequest) as caught:
            await subject.engine.respond(Endpoint.CHAT, body, context)
        assert caught.value.param == name
        with pytest.raises(BadRequest):
            await anext(subject.engine.stream(Endpoint.CHAT, body | {"stream": True}, context))


@GENERATING
async def test_a_prompt_that_does_not_fit_is_refused(subject: Subject, context: RequestContext) -> None:
    assert subject.too_long is not None
    with pytest.raises(InputTooLong):
        await respond(subject, Endpoint.COMPLETIONS, subject.completion(prompt=subject.too_long), context)


async def test_a_deadline_in_the_past_is_an_error(subject: Subject, context: RequestContext) -> None:
    late = replace(context, deadline=Deadline.after(-1))
    with pytest.raises(DeadlineExceeded):
        await subject.engine.respond(Endpoint.CHAT, subject.chat(), late)
    with pytest.raises(DeadlineExceeded):
        await anext(subject.engine.stream(Endpoint.CHAT, subject.chat(stream=True), late))


@GENERATING
async def test_a_deadline_ends_an_answer_under_way(subject: Subject, context: RequestContext) -> None:
    soon = replace(context, deadline=Deadline.after(0.3))
    with pytest.raises(DeadlineExceeded):
        await subject.engine.respond(Endpoint.CHAT, subject.chat(max_tokens=5000, ignore_eos=True), soon)
    assert await respond(
        subject, Endpoint.CHAT, subject.chat(max_tokens=2), replace(context, deadline=Deadline.after(15))
    )


async def test_closing_a_stream_frees_the_slot(subject: Subject, context: RequestContext) -> None:
    fields = {"max_tokens": 5000, "ignore_eos": True} if subject.is_endless else {}
    async with aclosing(  # type: ignore[type-var]
        subject.engine.stream(Endpoint.CHAT, subject.chat(stream=True, **fields), context)
    ) as frames:
        assert await anext(frames)
    # An engine that is still busy with the stream would need longer than this.
    soon = replace(context, deadline=Deadline.after(15))
    assert await respond(subject, Endpoint.CHAT, subject.chat(max_tokens=2), soon)


@GENERATING
async def test_cancelling_a_call_frees_the_slot(subject: Subject, context: RequestContext) -> None:
    body = subject.chat(max_tokens=5000, ignore_eos=True)
    call = asyncio.create_task(subject.engine.respond(Endpoint.CHAT, body, context))
    await asyncio.sleep(0.2)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    soon = replace(context, deadline=Deadline.after(15))
    assert await respond(subject, Endpoint.CHAT, subject.chat(max_tokens=2), soon)


async def test_closing_twice_is_fine(subject: Subject) -> None:
    await subject.engine.close()
    await subject.engine.close()
