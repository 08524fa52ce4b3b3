"""Endpoints on loopback that answer by a script, well-behaved or broken."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from serve_app.messages import JsonObject

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
