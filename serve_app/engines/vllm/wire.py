"""HTTP over the Unix socket of vLLM's server: bytes in, bytes out, nothing of a body read or written anew.

The only place of the engines that knows aiohttp, whose parser is in C: a stream has a chunk for every token.
Closing a stream closes its connection, which is how vLLM learns that nobody listens and aborts the request.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from serve_app.errors import DeadlineExceeded, EngineFailed, MantaError
from serve_app.messages import Deadline, JsonObject

# Seconds that an idle connection is kept. A server that closes it first, just as a request goes out, fails the request.
KEEP_ALIVE_S = 60

_BASE = "http://vllm"  # a name for the Host header; the socket is what is connected to
_EVENT_END = b"\n\n"
_MAX_EVENT_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole response."""

    status: int
    content: bytes
    media_type: str


class Wire:
    """Requests of one server. `name` is the model's, for messages."""

    def __init__(self, name: str, socket: Path) -> None:
        self._name = name
        self._socket = socket
        self._session: aiohttp.ClientSession | None = None

    async def get(self, path: str, timeout_s: float) -> Answer:
        """Raises EngineFailed: no answer, or none in time."""
        try:
            async with asyncio.timeout(timeout_s), self._open().get(_BASE + path) as response:
                return Answer(response.status, await response.read(), response.content_type)
        except TimeoutError as exc:
            raise EngineFailed(
                f"vLLM's server of {self._name} did not answer {path} within {timeout_s:g} s"
            ) from exc
        except aiohttp.ClientError as exc:
            raise self._broken(exc) from exc

    async def post(self, path: str, body: JsonObject, deadline: Deadline) -> Answer:
        """The response, whatever its status.

        Raises:
            DeadlineExceeded, EngineFailed.
        """
        deadline.check(self._name)
        try:
            async with asyncio.timeout(deadline.remaining_s()) as timer:
                async with self._open().post(_BASE + path, data=_encoded(body), headers=_JSON) as response:
                    return Answer(response.status, await response.read(), response.content_type)
        except TimeoutError as exc:
            if not timer.expired():
                raise
            raise DeadlineExceeded(f"the request's time was over at: {self._name}", self._name) from exc
        except aiohttp.ClientError as exc:
            raise self._broken(exc) from exc

    async def stream(self, path: str, body: JsonObject) -> AsyncGenerator[bytes | Answer]:
        """Whole events as they come. Or one Answer, if the server answered with anything but a stream of events.

        The caller bounds the time. Raises EngineFailed: the connection broke before the response was complete.
        """
        held = b""
        try:
            async with self._open().post(_BASE + path, data=_encoded(body), headers=_JSON) as response:
                if response.status != 200 or response.content_type != "text/event-stream":
                    yield Answer(response.status, await response.read(), response.content_type)
                    return
                async for raw in response.content.iter_any():
                    data = held + raw if held else raw
                    if data.endswith(_EVENT_END):
                        held = b""
                        yield data
                        continue
                    whole, end, held = data.rpartition(_EVENT_END)
                    if len(held) > _MAX_EVENT_BYTES:
                        raise EngineFailed(
                            f"{self._name} sent an event of more than {_MAX_EVENT_BYTES} bytes"
                        )
                    if end:
                        yield whole + end
        except aiohttp.ClientError as exc:
            raise self._broken(exc) from exc
        if held:
            yield held

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:  # wants a running loop
            self._session = aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(str(self._socket), limit=0, keepalive_timeout=KEEP_ALIVE_S),
                # A request's deadline bounds it, and nothing else does.
                timeout=aiohttp.ClientTimeout(total=None, sock_read=None),
                # Bytes pass through as they are.
                auto_decompress=False,
                skip_auto_headers=("Accept-Encoding", "User-Agent"),
            )
        return self._session

    def _broken(self, exc: aiohttp.ClientError) -> MantaError:
        return EngineFailed(
            f"the connection to vLLM's server of {self._name} broke: {exc or type(exc).__name__}"
        )


_JSON = {"content-type": "application/json"}


def _encoded(body: JsonObject) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
