"""The engine over a Unix socket, against a server that misbehaves on purpose. The real one: tests/vllm."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from configs.schema import HealthConfig, LocalFolder, ScalingConfig, VllmModel
from serve_app.engines.vllm.engine import VllmEngine
from serve_app.engines.vllm.wire import Wire
from serve_app.errors import BadRequest, DeadlineExceeded, EngineFailed, EngineRefused, StreamLost
from serve_app.messages import Deadline, Endpoint, RequestContext

BODY: dict[str, Any] = {"model": "chat", "messages": []}
EVENTS = [b'data: {"n":%d}\n\n' % number for number in range(3)]


class Process:
    """A server's process, as the engine sees it."""

    def __init__(self) -> None:
        self.status: int | None = None

    def exit_status(self) -> int | None:
        return self.status

    def end(self) -> None:
        self.status = 0


class Server:
    """Does what a test tells it to, on /v1/chat/completions; the rest is as vLLM has it."""

    def __init__(self) -> None:
        self.process = Process()
        self.health = 200
        self.metrics = "vllm:generation_tokens_total 1.0\n"
        self.pieces: list[bytes] = EVENTS
        self.answer: web.Response | None = None
        self.go = asyncio.Event()  # before the last piece
        self.go.set()
        self.cuts = False  # instead of an end
        self.left = asyncio.Event()  # the client did
        self.bodies: list[bytes] = []

    async def chat(self, request: web.Request) -> web.StreamResponse:
        self.bodies.append(await request.read())
        if self.answer is not None:
            return self.answer
        response = web.StreamResponse(headers={"content-type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        try:
            for piece in self.pieces[:-1]:
                await response.write(piece)
                await asyncio.sleep(0.01)
            await self.go.wait()
            await response.write(self.pieces[-1])
        except (asyncio.CancelledError, ConnectionError):
            self.left.set()
            raise
        if self.cuts:
            assert request.transport is not None
            request.transport.abort()
        return response

    async def say_health(self, request: web.Request) -> web.Response:
        return web.Response(status=self.health)

    async def say_metrics(self, request: web.Request) -> web.Response:
        return web.Response(text=self.metrics)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    server = Server()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.chat)
    app.router.add_get("/health", server.say_health)
    app.router.add_get("/metrics", server.say_metrics)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    await web.UnixSite(runner, str(tmp_path / "s")).start()
    yield server
    server.go.set()
    await runner.cleanup()


@pytest.fixture
async def engine(server: Server, tmp_path: Path) -> AsyncIterator[VllmEngine]:
    scaling = ScalingConfig(health=HealthConfig(check_timeout_s=60.0, max_step_s=1.0))
    config = VllmModel(engine="vllm", name="chat", weights=LocalFolder(path="/m"), scaling=scaling)
    engine = VllmEngine(config, tmp_path, server.process, Wire("chat", tmp_path / "s"))  # type: ignore[arg-type]
    yield engine
    await engine.close()


async def read(engine: VllmEngine, context: RequestContext) -> list[bytes]:
    return [frame async for frame in engine.stream(Endpoint.CHAT, BODY, context)]


async def test_events_pass_untouched_and_whole(
    server: Server, engine: VllmEngine, context: RequestContext
) -> None:
    whole = b"".join(EVENTS)
    server.pieces = [whole[:5], whole[5:20], whole[20:]]
    frames = await read(engine, context)
    assert b"".join(frames) == whole
    assert all(frame.endswith(b"\n\n") for frame in frames)
    assert json.loads(server.bodies[0]) == BODY | {"stream": True}


async def test_the_first_event_leaves_before_the_last_is_made(
    server: Server, engine: VllmEngine, context: RequestContext
) -> None:
    server.go.clear()
    async with aclosing(engine.stream(Endpoint.CHAT, BODY, context)) as frames:
        assert await anext(frames) == EVENTS[0]
        server.go.set()
        rest = [frame async for frame in frames]
    assert b"".join(rest) == b"".join(EVENTS[1:])


async def test_closing_a_stream_tells_the_server(
    server: Server, engine: VllmEngine, context: RequestContext
) -> None:
    server.go.clear()
    async with aclosing(engine.stream(Endpoint.CHAT, BODY, context)) as frames:
        await anext(frames)
    await asyncio.wait_for(server.left.wait(), 60)


async def test_the_deadline_ends_a_stream(
    server: Server, engine: VllmEngine, context: RequestContext
) -> None:
    server.go.clear()
    with pytest.raises(DeadlineExceeded):
        await read(engine, replace(context, deadline=Deadline.after(0.2)))
    await asyncio.wait_for(server.left.wait(), 60)


async def test_a_stream_that_breaks_is_no_whole_one(
    server: Server, engine: VllmEngine, context: RequestContext
) -> None:
    server.cuts = True
    with pytest.raises(EngineFailed, match="broke"):
        await read(engine, context)


async def test_what_a_dead_server_did_not_finish_may_be_asked_elsewhere(
    server: Server, engine: VllmEngine, context: RequestContext
) -> None:
    server.cuts = True
    server.process.status = -9
    with pytest.raises(StreamLost, match="is gone"):
        await read(engine, context)
    with pytest.raises(EngineFailed, match="ended with status -9"):
        await engine.check_health()


async def test_a_refusal_is_the_servers_own(
    server: Server, engine: VllmEngine, context: RequestContext
) -> None:
    document = {"error": {"message": "max_tokens must be positive", "code": 400}}
    server.answer = web.json_response(document, status=400)
    with pytest.raises(EngineRefused) as refused:
        await read(engine, context)
    assert (refused.value.status, json.loads(refused.value.document)) == (400, document)
    assert refused.value.message == "max_tokens must be positive"


@pytest.mark.parametrize(("status", "error"), [(200, BadRequest), (500, EngineFailed)])
async def test_what_is_no_json_cannot_travel(
    server: Server, engine: VllmEngine, context: RequestContext, status: int, error: type[Exception]
) -> None:
    server.answer = web.Response(body=b"\x00\x01", content_type="application/octet-stream", status=status)
    with pytest.raises(error):
        await engine.respond(Endpoint.CHAT, BODY, context)


async def test_an_endpoint_that_it_does_not_serve_is_not_asked(
    server: Server, engine: VllmEngine, context: RequestContext
) -> None:
    with pytest.raises(BadRequest, match="does not serve /v1/embeddings"):
        await engine.respond(Endpoint.EMBEDDINGS, BODY, context)
    assert server.bodies == []


async def test_a_dead_engine_is_not_well(server: Server, engine: VllmEngine) -> None:
    await engine.check_health()
    server.health = 503
    with pytest.raises(EngineFailed, match="is dead"):
        await engine.check_health()


async def test_a_hang_is_found_and_work_elsewhere_is_none(
    server: Server, engine: VllmEngine, context: RequestContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 0.0
    monkeypatch.setattr(engine._liveness, "_clock", lambda: now_s)
    server.go.clear()
    async with aclosing(engine.stream(Endpoint.CHAT, BODY, context)) as frames:
        await anext(frames)
        now_s += 100
        await engine.check_health()  # the counters are read for the first time
        now_s += 100
        server.metrics = "vllm:generation_tokens_total 2.0\n"
        await engine.check_health()
        now_s += 100
        with pytest.raises(EngineFailed, match="hangs"):
            await engine.check_health()
