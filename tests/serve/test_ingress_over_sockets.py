"""The HTTP application behind a real server and real sockets: slow, broken, leaving and many clients."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import httpx
import pytest
import uvicorn

from configs.schema import IngressConfig, MockModel
from serve_app.engines.mock import MockGenerator
from serve_app.engines.text_edge import TextEdge
from serve_app.ingress.answers import sse
from serve_app.ingress.app import create_app
from serve_app.ingress.services import Services

MAX_BODY_BYTES = 4096
ENDLESS = {
    "model": "mock",
    "messages": [{"role": "user", "content": "hi"}],
    "max_tokens": 30_000,
    "ignore_eos": True,
}


@dataclass
class Running:
    """A server and the engine behind it."""

    url: str
    port: int
    generator: MockGenerator  # of the model `mock`, a token every ms
    fast: MockGenerator  # of the model `fast`, as many as the client reads
    server: uvicorn.Server


@pytest.fixture(params=["httptools", "h11"])
async def running(request: pytest.FixtureRequest) -> AsyncIterator[Running]:
    generators = {
        name: MockGenerator(
            MockModel(name=name, engine="mock", ttft_ms=1, tpot_ms=tpot_ms, context_tokens=200_000)
        )
        for name, tpot_ms in (("mock", 1), ("fast", 0))
    }
    models = {name: TextEdge(generator) for name, generator in generators.items()}
    services = Services(
        models=models,
        embedders={},
        agents={},
        knowledge=None,
        cards={name: model.card() for name, model in models.items()},
    )
    app = create_app(IngressConfig(max_body_bytes=MAX_BODY_BYTES), services)
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    server = uvicorn.Server(
        uvicorn.Config(app, http=request.param, log_level="error", lifespan="off", ws="none")
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    port = listener.getsockname()[1]
    try:
        await until(lambda: server.started)
        yield Running(f"http://127.0.0.1:{port}", port, generators["mock"], generators["fast"], server)
    finally:
        server.should_exit = True
        await serving
        listener.close()


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():  # noqa: ASYNC110 (what is waited for tells nobody when it happens)
            await asyncio.sleep(0.005)


def head(running: Running, *lines: str) -> bytes:
    return "\r\n".join(
        (
            "POST /v1/chat/completions HTTP/1.1",
            f"host: 127.0.0.1:{running.port}",
            "content-type: application/json",
            *lines,
            "",
            "",
        )
    ).encode()


async def status_and_error(reader: asyncio.StreamReader) -> tuple[int, dict]:
    async with asyncio.timeout(20):
        top = await reader.readuntil(b"\r\n\r\n")
        lengths = [line for line in top.split(b"\r\n") if line.lower().startswith(b"content-length:")]
        body = await reader.readexactly(int(lengths[0].split(b":")[1]))
    return int(top.split()[1]), json.loads(body)["error"]


@pytest.mark.parametrize("is_stream", [True, False])
async def test_a_client_that_leaves_frees_its_slot(running: Running, *, is_stream: bool) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    body = json.dumps({**ENDLESS, "stream": is_stream}).encode()
    writer.write(head(running, f"content-length: {len(body)}") + body)
    await until(lambda: running.generator.num_running == 1)
    if is_stream:
        await reader.readuntil(b"data: ")  # it is under way
    writer.close()
    await until(lambda: running.generator.num_running == 0)


async def test_a_client_that_never_reads_is_cut_off(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "LAST_FRAME_TIMEOUT_S", 0.05)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", running.port))
    try:
        body = json.dumps({**ENDLESS, "model": "fast", "max_tokens": 199_000, "stream": True}).encode()
        sock.sendall(head(running, f"content-length: {len(body)}", "x-request-timeout-s: 1") + body)
        await until(lambda: running.fast.num_running == 1)
        await until(lambda: running.fast.num_running == 0)
        await until(lambda: not running.server.server_state.tasks)
    finally:
        sock.close()


async def test_half_a_body_is_no_request(running: Running) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(head(running, "content-length: 400") + b'{"model": "mo')
    await writer.drain()
    writer.close()
    async with httpx.AsyncClient(base_url=running.url, trust_env=False) as client:
        answer = await client.post("/v1/chat/completions", json={**ENDLESS, "max_tokens": 2})
    assert answer.status_code == 200
    assert running.generator.num_running == 0


async def test_a_body_sent_byte_by_byte_is_read(running: Running) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    body = json.dumps({**ENDLESS, "max_tokens": 2}).encode()
    writer.write(head(running, f"content-length: {len(body)}"))
    for byte in body:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0)
    async with asyncio.timeout(20):
        assert b" 200 " in await reader.readline()
    writer.close()


async def test_a_body_that_stops_is_given_up_at_the_deadline(running: Running) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(head(running, "content-length: 400", "x-request-timeout-s: 0.05") + b'{"mod')
    status, error = await status_and_error(reader)
    assert (status, error["stage"]) == (504, "reading the body")
    writer.close()


async def test_an_oversized_chunked_body_is_refused_while_it_comes(running: Running) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(head(running, "transfer-encoding: chunked"))
    for _ in range(MAX_BODY_BYTES // 1024 + 1):
        writer.write(b"400\r\n" + b" " * 1024 + b"\r\n")
    await writer.drain()
    status, error = await status_and_error(reader)  # the body has not ended, and never will
    assert (status, error["code"]) == (413, "request_too_large")
    writer.close()


async def test_an_announced_oversized_body_is_refused_before_it_comes(running: Running) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(head(running, "content-length: 99999999", "expect: 100-continue"))
    status, error = await status_and_error(reader)
    assert (status, error["code"]) == (413, "request_too_large")
    writer.close()


async def test_a_hundred_streams_at_once(running: Running) -> None:
    async def one(client: httpx.AsyncClient, seed: int) -> str:
        body = {**ENDLESS, "max_tokens": 20, "seed": seed, "stream": True}
        texts = []
        async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
            assert answer.status_code == 200
            async for line in answer.aiter_lines():
                if line.startswith("data: {"):
                    texts += [
                        choice["delta"].get("content", "") for choice in json.loads(line[6:])["choices"]
                    ]
                elif line:
                    assert line == "data: [DONE]"
                    return "".join(texts)
        raise AssertionError("the stream ended without [DONE]")

    limits = httpx.Limits(max_connections=100)
    async with httpx.AsyncClient(base_url=running.url, limits=limits, timeout=60, trust_env=False) as client:
        texts = await asyncio.gather(*(one(client, seed % 50) for seed in range(100)))
    assert all(len(text.split()) == 20 for text in texts)
    assert texts[:50] == texts[50:]  # each stream has its own text, not its neighbour's
    assert running.generator.num_running == 0
