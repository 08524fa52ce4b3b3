"""The external engine and embedder against endpoints on loopback, well-behaved and broken."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from configs.schema import ExternalEmbedder, ExternalModel, SecretRef
from serve_app.engines.external import ExternalEngine, ExternalTextEmbedder
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

KEY = "sk-very-secret-0123456789"
CHAT = {"model": "mine", "messages": [{"role": "user", "content": "Hi"}]}
EVENT = b'data: {"model":"theirs","choices":[{"delta":{"content":"Hi"}}]}\n\n'
DONE = b"data: [DONE]\n\n"

Script = Callable[["Endpointlike", asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Endpointlike:
    """An HTTP endpoint that answers every request by its script; `hung_up` is set when a client closes."""

    script: Script
    requests: list[tuple[str, dict[str, str], JsonObject]] = field(default_factory=list)
    num_connections: int = 0
    was_asked: asyncio.Event = field(default_factory=asyncio.Event)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.num_connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                line, *lines = head.decode().rstrip().split("\r\n")
                headers = {name.lower(): value for name, value in (one.split(": ", 1) for one in lines)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                self.requests.append((line, headers, json.loads(body or b"{}")))
                self.was_asked.set()
                answering = asyncio.ensure_future(self.script(self, writer))
                # Until the answer is written the client sends nothing: what ends this read is its leaving.
                leaving = asyncio.ensure_future(reader.read(1)) if self.script in HANGING else answering
                await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
                if not answering.done():
                    answering.cancel()
                    break
                await answering
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.hung_up.set()
            writer.close()


def whole(status: int, body: bytes, **headers: str) -> Script:
    async def script(_: Endpointlike, writer: asyncio.StreamWriter) -> None:
        told = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{told}\r\n".encode() + body)
        await writer.drain()

    return script


def chunked(*chunks: bytes, is_cut: bool = False) -> Script:
    async def script(_: Endpointlike, writer: asyncio.StreamWriter) -> None:
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        for chunk in chunks:
            writer.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
            await writer.drain()
        if is_cut:
            writer.transport.abort()
        else:
            writer.write(b"0\r\n\r\n")

    return script


async def hang(_: Endpointlike, _writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def hang_in_stream(_: Endpointlike, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    writer.write(f"{len(EVENT):x}\r\n".encode() + EVENT + b"\r\n")
    await writer.drain()
    await asyncio.Event().wait()


async def hang_up(_: Endpointlike, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


HANGING = (hang, hang_in_stream)
Open = Callable[[Script], Awaitable[Endpointlike]]


@pytest.fixture
async def endpoint() -> AsyncIterator[Open]:
    servers: list[asyncio.Server] = []

    async def open_(script: Script) -> Endpointlike:
        made = Endpointlike(script)
        server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
        servers.append(server)
        made.port = server.sockets[0].getsockname()[1]
        return made

    yield open_
    for server in servers:
        server.close()
        await server.wait_closed()


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
        (401, b'{"error":{"message":"Incorrect API key: sk-very"}}', EngineFailed, "refused the API key"),
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


# ---------------------------------------------------------------- embeddings


def vectors_of(rows: list[list[float]], *, num_tokens: int = 10, as_numbers: bool = False) -> Script:
    """The rows as an endpoint gives them, last one first, because only `index` tells their order."""
    coded: list[Any] = [base64.b64encode(np.asarray(row, dtype="<f4").tobytes()).decode() for row in rows]
    data = [{"index": at, "embedding": row} for at, row in enumerate(rows if as_numbers else coded)][::-1]
    return whole(200, json.dumps({"data": data, "usage": {"prompt_tokens": num_tokens}}).encode())


@pytest.fixture
async def embedder() -> AsyncIterator[Callable[..., ExternalTextEmbedder]]:
    made: list[ExternalTextEmbedder] = []

    def open_(port: int, **changes: Any) -> ExternalTextEmbedder:
        fields = {
            "base_url": f"http://127.0.0.1:{port}/v1",
            "upstream_model": "theirs",
            "dim": 8,
            "context_tokens": 16,
        } | changes
        made.append(ExternalTextEmbedder(ExternalEmbedder(name="remote", engine="external", **fields)))
        return made[-1]

    yield open_
    for one in made:
        await one.close()


ROW = [3.0, 4.0, 0, 0, 0, 0, 0, 0]
OTHER = [0, 0, 0, 0, 0, 0, 0, 2.0]


@pytest.mark.parametrize("as_numbers", [False, True])
async def test_vectors_are_normalised_and_in_order(
    endpoint: Open,
    embedder: Callable[..., ExternalTextEmbedder],
    context: RequestContext,
    *,
    as_numbers: bool,
) -> None:
    server = await endpoint(vectors_of([ROW, OTHER], as_numbers=as_numbers))
    made = await embedder(server.port, query_prefix="query: ").embed(
        ["a", "bbbb bbbb bbbb"], context, is_query=True
    )
    expected = np.array([[0.6, 0.8, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 1.0]], dtype=np.float32)
    assert np.allclose(made.vectors, expected)
    assert made.vectors.dtype == np.float32
    assert sum(made.num_tokens) == 10
    sent = server.requests[0][2]
    assert sent == {
        "model": "theirs",
        "input": ["query: a", "query: bbbb bbbb bbbb"],
        "encoding_format": "base64",
    }


async def test_many_texts_go_in_several_requests(
    endpoint: Open, embedder: Callable[..., ExternalTextEmbedder], context: RequestContext
) -> None:
    async def script(server: Endpointlike, writer: asyncio.StreamWriter) -> None:
        num = len(server.requests[-1][2]["input"])
        await vectors_of([ROW] * num, num_tokens=num)(server, writer)

    server = await endpoint(script)
    made = await embedder(server.port).embed(["text"] * 70, context)
    assert made.vectors.shape == (70, 8)
    assert made.num_tokens == (1,) * 70
    assert [len(sent["input"]) for _, _, sent in server.requests] == [32, 32, 6]
    assert (await embedder(server.port).embed([], context)).vectors.shape == (0, 8)
    assert server.num_connections == 1


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (vectors_of([ROW[:4], OTHER]), "dimension 4; the configuration says 8"),
        (vectors_of([[float("nan")] * 8, OTHER]), "NaN"),
        (vectors_of([[float("inf")] * 8, OTHER]), "NaN, infinity"),
        (vectors_of([[0.0] * 8, OTHER]), "length zero"),
        (vectors_of([ROW]), r"2 texts gave embeddings \[0\]"),
        (whole(200, b"not json"), "no list of embeddings"),
        (whole(200, b'{"data":[]}'), "no list of embeddings"),
        (whole(200, b"[]"), "no list of embeddings"),
        (
            whole(200, b'{"data":[{"index":0,"embedding":"%%%"}],"usage":{"prompt_tokens":1}}'),
            "no list of embeddings",
        ),
        (
            whole(200, b'{"data":[{"index":0,"embedding":"YWJj"}],"usage":{"prompt_tokens":1}}'),
            "no list of embeddings",
        ),
    ],
)
async def test_what_is_no_vector_is_never_passed_on(
    endpoint: Open,
    embedder: Callable[..., ExternalTextEmbedder],
    context: RequestContext,
    script: Script,
    message: str,
) -> None:
    server = await endpoint(script)
    with pytest.raises(EngineFailed, match=message):
        await embedder(server.port).embed(["a", "b"], context)


async def test_a_long_text_is_cut_only_when_asked(
    endpoint: Open, embedder: Callable[..., ExternalTextEmbedder], context: RequestContext
) -> None:
    server = await endpoint(vectors_of([ROW, OTHER]))
    texts = ["short", "word " * 100]
    assert (await embedder(server.port).embed(texts, context)).num_truncated == 0
    assert server.requests[0][2]["input"] == texts
    assert (await embedder(server.port).embed(texts, context, truncate=True)).num_truncated == 1
    assert server.requests[1][2]["input"][1].split() == ["word"] * 16


async def test_the_card_names_the_vectors(embedder: Callable[..., ExternalTextEmbedder]) -> None:
    card = embedder(1).card()
    assert (card.dim, card.context_tokens) == (8, 16)
    assert card.embedding_id == "external:http://127.0.0.1:1/v1:theirs:8"


async def test_token_counts_are_estimates_on_the_high_side(
    embedder: Callable[..., ExternalTextEmbedder], context: RequestContext
) -> None:
    counts = await embedder(1).count_tokens(["", "the", "retrieval", "12345", "a, b!", "日本"], context)
    assert counts == [0, 1, 3, 3, 4, 2]
