"""The external engine against endpoints on loopback, well-behaved and broken."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest
from scripted_endpoint import (
    DONE,
    EVENT,
    HANGING,
    Open,
    Script,
    chunked,
    hang,
    hang_in_stream,
    hang_up,
    whole,
)

from configs.schema import ExternalModel, SecretRef
from serve_app.engines.external import ExternalEngine
from serve_app.errors import (
    BadRequest,
    ConfigError,
    DeadlineExceeded,
    EngineFailed,
    InputTooLong,
    Overloaded,
    Unavailable,
)
from serve_app.messages import Deadline, Endpoint, JsonObject, RequestContext

KEY = "the-key-of-the-endpoint"
CHAT = {"model": "mine", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture
async def chat() -> AsyncIterator[Callable[..., ExternalEngine]]:
    made: list[ExternalEngine] = []

    def open_(port: int, **changes: Any) -> ExternalEngine:
        fields = {"base_url": f"http://127.0.0.1:{port}/v1", "upstream_model": "theirs"} | changes
        made.append(ExternalEngine(ExternalModel(name="remote", engine="external", **fields)))
        return made[-1]

    yield open_
    for engine in made:
        await engine.close()


async def frames_of(engine: ExternalEngine, context: RequestContext, body: JsonObject = CHAT) -> list[bytes]:
    async with aclosing(engine.stream(Endpoint.CHAT, body, context)) as frames:  # type: ignore[type-var]
        return [frame async for frame in frames]


# ---------------------------------------------------------------- chat: what passes


async def test_the_body_passes_with_their_name_and_the_answer_with_ours(
    endpoint: Open, chat: Callable[..., ExternalEngine], context: RequestContext
) -> None:
    answer = b'{"id":"1","model": "theirs-2024","choices":[{"text":"say \\"model\\": \\"x\\""}],"extra":1}'
    server = await endpoint(whole(200, answer))
    body = CHAT | {"some_new_field": {"a": [1, None]}}
    got = await chat(server.port).respond(Endpoint.CHAT, body, context)
    assert got == answer.replace(b'"theirs-2024"', b'"mine"')
    line, headers, sent = server.requests[0]
    assert line == "POST /v1/chat/completions HTTP/1.1"
    assert sent == body | {"model": "theirs"}
    assert "authorization" not in headers


async def test_a_stream_passes_event_by_event(
    endpoint: Open, chat: Callable[..., ExternalEngine], context: RequestContext
) -> None:
    server = await endpoint(
        chunked(EVENT[:20], EVENT[20:] + EVENT, b": ping\n\n", EVENT + DONE[:5], DONE[5:])
    )
    frames = await frames_of(chat(server.port), context)
    assert all(frame.endswith(b"\n\n") for frame in frames)
    ours = EVENT.replace(b"theirs", b"mine")
    assert b"".join(frames) == ours * 2 + b": ping\n\n" + ours + DONE
    assert server.requests[0][2]["stream"] is True


async def test_the_first_event_leaves_before_the_second_is_made(
    endpoint: Open, chat: Callable[..., ExternalEngine], context: RequestContext
) -> None:
    server = await endpoint(hang_in_stream)
    frames = chat(server.port).stream(Endpoint.CHAT, CHAT, context)
    assert await anext(frames) == EVENT.replace(b"theirs", b"mine")
    await frames.aclose()  # type: ignore[attr-defined]


async def test_connections_are_kept(
    endpoint: Open, chat: Callable[..., ExternalEngine], context: RequestContext
) -> None:
    for script, call in (
        (chunked(EVENT, DONE), frames_of),
        (whole(200, b"{}"), lambda engine, context: engine.respond(Endpoint.CHAT, CHAT, context)),
    ):
        server = await endpoint(script)
        engine = chat(server.port)
        for _ in range(3):
            await call(engine, context)
        assert (len(server.requests), server.num_connections) == (3, 1)


async def test_a_name_with_quotes_stays_json(
    endpoint: Open, chat: Callable[..., ExternalEngine], context: RequestContext
) -> None:
    server = await endpoint(whole(200, b'{"model":"theirs"}'))
    got = await chat(server.port).respond(Endpoint.CHAT, CHAT | {"model": 'a"\\b\\1'}, context)
    assert json.loads(got) == {"model": 'a"\\b\\1'}


# ---------------------------------------------------------------- chat: what breaks


@pytest.mark.parametrize(
    ("status", "body", "error", "message"),
    [
        (400, b'{"error":{"message":"bad top_p","param":"top_p"}}', BadRequest, "bad top_p"),
        (400, b'{"error":{"message":"9 > 8","code":"context_length_exceeded"}}', InputTooLong, "9 > 8"),
        (404, b'{"error":{"message":"no model theirs"}}', BadRequest, "no model theirs"),
        (422, b'{"detail":[{"msg":"wrong"}]}', BadRequest, "wrong"),
        (401, b'{"error":{"message":"Incorrect API key: the-key"}}', EngineFailed, "refused the API key"),
        (403, b"", EngineFailed, "refused the API key"),
        (429, b'{"error":{"message":"slow down"}}', Overloaded, "slow down"),
        (500, b"<html>oops</html>", EngineFailed, "oops"),
        (503, b"", EngineFailed, "status 503: no message"),
        (302, b"", EngineFailed, "status 302"),
    ],
)
async def test_a_refusal_is_an_error_of_our_tree(
    endpoint: Open,
    chat: Callable[..., ExternalEngine],
    context: RequestContext,
    status: int,
    body: bytes,
    error: type[Exception],
    message: str,
) -> None:
    server = await endpoint(whole(status, body))
    engine = chat(server.port)
    with pytest.raises(error, match=message) as caught:
        await engine.respond(Endpoint.CHAT, CHAT, context)
    assert f"127.0.0.1:{server.port}" in str(caught.value)
    with pytest.raises(error, match=message):
        await frames_of(engine, context)


async def test_a_refusal_keeps_the_field_and_the_time_to_wait(
    endpoint: Open, chat: Callable[..., ExternalEngine], context: RequestContext
) -> None:
    server = await endpoint(whole(400, b'{"error":{"message":"bad","param":"top_p"}}'))
    with pytest.raises(BadRequest) as refused:
        await chat(server.port).respond(Endpoint.CHAT, CHAT, context)
    assert refused.value.param == "top_p"
    for header, seconds in (("17", 17.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 1.0)):
        server = await endpoint(whole(429, b"", Retry_After=header))
        with pytest.raises(Overloaded) as full:
            await chat(server.port).respond(Endpoint.CHAT, CHAT, context)
        assert full.value.retry_after_s == seconds


async def test_nobody_listens(chat: Callable[..., ExternalEngine], context: RequestContext) -> None:
    server = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    engine = chat(port)
    for call in (
        engine.respond(Endpoint.CHAT, CHAT, context),
        frames_of(engine, context),
        engine.check_health(),
    ):
        with pytest.raises(Unavailable, match=f"127.0.0.1:{port}, which serves remote"):
            await call


async def test_a_host_that_does_not_exist(
    chat: Callable[..., ExternalEngine], context: RequestContext
) -> None:
    with pytest.raises(Unavailable, match=r"nowhere\.invalid"):
        await chat(1, base_url="http://nowhere.invalid/v1").respond(Endpoint.CHAT, CHAT, context)


async def test_a_connection_that_breaks_before_the_answer(
    endpoint: Open, chat: Callable[..., ExternalEngine], context: RequestContext
) -> None:
    server = await endpoint(hang_up)
    with pytest.raises(EngineFailed, match="broke"):
        await chat(server.port).respond(Endpoint.CHAT, CHAT, context)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (chunked(EVENT, is_cut=True), "broke"),
        (chunked(EVENT), "before it was complete"),
        (chunked(EVENT, EVENT[:20]), "before it was complete"),
        (chunked(EVENT, b'data: {"error":{"message":"out of memory"}}\n\n', DONE), "out of memory"),
    ],
)
async def test_a_stream_that_breaks_is_an_error_after_what_came(
    endpoint: Open, chat: Callable[..., ExternalEngine], context: RequestContext, script: Script, message: str
) -> None:
    server = await endpoint(script)
    frames = chat(server.port).stream(Endpoint.CHAT, CHAT, context)
    assert await anext(frames) == EVENT.replace(b"theirs", b"mine")
    with pytest.raises(EngineFailed, match=message):
        await anext(frames)


@pytest.mark.parametrize("script", HANGING)
async def test_the_deadline_closes_the_connection(
    endpoint: Open, chat: Callable[..., ExternalEngine], context: RequestContext, script: Script
) -> None:
    server = await endpoint(script)
    engine = chat(server.port)
    soon = replace(context, deadline=Deadline.after(0.2))
    with pytest.raises(DeadlineExceeded):
        await frames_of(engine, soon)
    await server.hung_up.wait()
    server.hung_up.clear()
    with pytest.raises(DeadlineExceeded):
        await engine.respond(Endpoint.CHAT, CHAT, replace(context, deadline=Deadline.after(0.2)))
    await server.hung_up.wait()


async def test_closing_a_stream_closes_its_connection(
    endpoint: Open, chat: Callable[..., ExternalEngine], context: RequestContext
) -> None:
    server = await endpoint(hang_in_stream)
    frames = chat(server.port).stream(Endpoint.CHAT, CHAT, context)
    await anext(frames)
    await frames.aclose()  # type: ignore[attr-defined]
    await server.hung_up.wait()


async def test_cancelling_a_call_closes_its_connection(
    endpoint: Open, chat: Callable[..., ExternalEngine], context: RequestContext
) -> None:
    server = await endpoint(hang)
    task = asyncio.create_task(chat(server.port).respond(Endpoint.CHAT, CHAT, context))
    await server.was_asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await server.hung_up.wait()


# ---------------------------------------------------------------- the key


async def test_the_key_travels_and_is_never_told(
    endpoint: Open,
    chat: Callable[..., ExternalEngine],
    context: RequestContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REMOTE_KEY", KEY)
    server = await endpoint(whole(401, f'{{"error":{{"message":"wrong key {KEY}"}}}}'.encode()))
    engine = chat(server.port, api_key=SecretRef(env="REMOTE_KEY"))
    with pytest.raises(EngineFailed) as caught:
        await engine.respond(Endpoint.CHAT, CHAT, context)
    assert server.requests[0][1]["authorization"] == f"Bearer {KEY}"
    assert KEY not in repr(caught.value)
    assert KEY not in repr(vars(engine))


def test_a_missing_key_fails_at_start_and_names_the_variable(
    chat: Callable[..., ExternalEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REMOTE_KEY", raising=False)
    with pytest.raises(ConfigError, match="REMOTE_KEY"):
        chat(1, api_key=SecretRef(env="REMOTE_KEY"))
    monkeypatch.setenv("REMOTE_KEY", "two\nlines")
    with pytest.raises(ConfigError, match="REMOTE_KEY") as caught:
        chat(1, api_key=SecretRef(env="REMOTE_KEY"))
    assert "two" not in str(caught.value)


@pytest.mark.parametrize(("status", "is_healthy"), [(200, True), (404, True), (401, False), (500, False)])
async def test_health_is_that_somebody_answers_who_takes_the_key(
    endpoint: Open, chat: Callable[..., ExternalEngine], status: int, *, is_healthy: bool
) -> None:
    engine = chat((await endpoint(whole(status, b"{}"))).port)
    if is_healthy:
        await engine.check_health()
    else:
        with pytest.raises(EngineFailed):
            await engine.check_health()
