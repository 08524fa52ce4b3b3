"""Loopback servers that speak, or fail to speak, what search providers and MCP servers speak."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn

from serve_app.messages import Deadline, RequestContext

HANG, CLOSE, HALF, DRIP = "hang", "close", "half", "drip"


def context(seconds: float = 120.0) -> RequestContext:
    return RequestContext("r", "acme", Deadline.after(seconds))


@dataclass
class Asked:
    """One request that a loopback server got."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Loopback:
    """An HTTP server that answers everything with `answer`: a document, bytes, (status, headers, body), a fault."""

    answer: Any = None
    asked: list[Asked] = field(default_factory=list)
    num_connections: int = 0
    port: int = 0
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.num_connections += 1
        self._writers.add(writer)
        try:
            while True:
                self.asked.append(await self._read(reader))
                if not await self._reply(writer):
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            self._writers.discard(writer)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    def drop(self) -> None:
        for writer in list(self._writers):
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> Asked:
        top = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, path, _ = top[0].split(" ", 2)
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in top[1:] if line)
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        return Asked(method, path, headers, body)

    async def _reply(self, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection goes on."""
        if self.answer == HANG:
            await asyncio.get_running_loop().create_future()
        if self.answer == CLOSE:
            return False
        if self.answer == HALF:
            writer.write(
                b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 999\r\n\r\n{"res'
            )
            await writer.drain()
            return False
        if self.answer == DRIP:
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99999\r\n\r\n"
            )
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.01)
        status, headers, body = self.answer if isinstance(self.answer, tuple) else (200, {}, self.answer)
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {"content-type": "application/json", "content-length": str(len(raw)), **headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
        writer.write(f"HTTP/1.1 {status} Said\r\n{lines}\r\n".encode() + raw)
        await writer.drain()
        return True


@pytest.fixture
async def loopback() -> AsyncIterator[Callable[[Any], Awaitable[Loopback]]]:
    """Starts servers, each with what it answers."""
    running: list[tuple[Loopback, asyncio.Server]] = []
    serving: set[asyncio.Task[Any]] = set()

    async def start(answer: Any = None) -> Loopback:
        one = Loopback(answer)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            serving.add(task)
            with suppress(asyncio.CancelledError):
                await one.serve(reader, writer)
            serving.discard(task)

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        one.port = server.sockets[0].getsockname()[1]
        running.append((one, server))
        return one

    yield start
    for one, server in running:
        server.close()
        one.drop()
    for task in list(serving):
        task.cancel()
    await asyncio.gather(*serving, return_exceptions=True)
    for _, server in running:
        await server.wait_closed()


@asynccontextmanager
async def served(app: Any, port: int = 0) -> AsyncIterator[int]:
    """An ASGI application on loopback; the port."""
    listener = socket.create_server(("127.0.0.1", port))
    config = uvicorn.Config(app, log_level="error", lifespan="off", ws="none", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        async with asyncio.timeout(60):
            while not server.started:  # noqa: ASYNC110 (it tells nobody)
                await asyncio.sleep(0.01)
        yield int(listener.getsockname()[1])
    finally:
        server.should_exit = True
        await serving
        listener.close()


@pytest.fixture
def serve() -> Callable[..., Any]:
    return served


@pytest.fixture
def within() -> Callable[[float], RequestContext]:
    return context
