"""A server with OpenAI's /v1/embeddings, as something that can be measured: a closed loop of callers.

A client of its own, because it shares the machine with what it measures: kept connections, bodies that are
encoded before the run, answers whose status and length are read and nothing more.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import uvloop

from benchmarks.embeddings.cases import Case
from benchmarks.embeddings.texts import Kind, KindOfTexts
from benchmarks.errors import BenchmarkError

_TIMEOUT_S = 120.0

Call = tuple[bytes, int, int]  # an HTTP request, how many texts are in it, how many tokens


class HttpSide:
    """A server that runs.

    Args:
        url: its base, without a path.
        model: what the requests name.
        facts: for the records.
    """

    def __init__(self, url: str, model: str, facts: Mapping[str, Any] | None = None) -> None:
        parts = urlsplit(url)
        if parts.hostname is None or parts.port is None:
            raise BenchmarkError(f"{url}: is no address of a host and a port")
        self._url, self._host, self._port = url, parts.hostname, parts.port
        self._model = model
        self._texts: Mapping[Kind, KindOfTexts] = {}
        self.facts = dict(facts or {})

    def take_texts(self, texts: Mapping[Kind, KindOfTexts]) -> None:
        self._texts = texts

    def run(self, kind: Kind, case: Case, seconds: float) -> dict[str, Any]:
        """As `WorkerSide.run`; raises BenchmarkError for the first answer that is none."""
        calls = itertools.cycle(self._calls(kind, case.list_size))
        return uvloop.run(self._run(calls, case.num_callers, seconds))

    def vectors(self, texts: Sequence[str]) -> list[list[float]]:
        found = []
        with httpx.Client(base_url=self._url, timeout=_TIMEOUT_S, trust_env=False) as client:
            for text in texts:
                answer = client.post("/v1/embeddings", content=self._body([text]), headers=_JSON)
                if answer.status_code != 200:
                    raise BenchmarkError(f"{self._url} answered {answer.status_code}: {answer.text[:200]}")
                found.append(_vector(answer.json()["data"][0]["embedding"]))
        return found

    def _calls(self, kind: Kind, list_size: int) -> list[Call]:
        given = self._texts[kind]
        pairs = itertools.cycle(zip(given.texts, given.num_tokens, strict=True))
        num = max(1, len(given.texts) // list_size)
        calls = []
        for _ in range(num):
            taken = list(itertools.islice(pairs, list_size))
            body = self._body([text for text, _ in taken])
            calls.append((self._request(body), list_size, sum(tokens for _, tokens in taken)))
        return calls

    def _body(self, texts: Sequence[str]) -> bytes:
        # base64 is what the official client asks for.
        return json.dumps({"model": self._model, "input": list(texts), "encoding_format": "base64"}).encode()

    def _request(self, body: bytes) -> bytes:
        head = (
            f"POST /v1/embeddings HTTP/1.1\r\nhost: {self._host}:{self._port}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    async def _run(self, calls: Iterator[Call], num_callers: int, seconds: float) -> dict[str, Any]:
        done: list[tuple[int, int]] = []
        began_s = time.perf_counter()

        async def call() -> None:
            connection = await asyncio.open_connection(self._host, self._port)
            try:
                while time.perf_counter() < began_s + seconds:
                    request, num_texts, num_tokens = next(calls)
                    async with asyncio.timeout(_TIMEOUT_S):
                        is_kept = await _exchange(connection, request)
                    done.append((num_texts, num_tokens))
                    if not is_kept:  # llama-server keeps a connection for a hundred requests
                        connection[1].close()
                        connection = await asyncio.open_connection(self._host, self._port)
            finally:
                connection[1].close()

        try:
            async with asyncio.TaskGroup() as callers:
                for _ in range(num_callers):
                    callers.create_task(call())
        except* (OSError, TimeoutError, EOFError) as group:
            raise BenchmarkError(f"{self._url}: {group.exceptions[0]!r}") from group
        except* BenchmarkError as group:
            raise BenchmarkError(f"{self._url} {group.exceptions[0]}") from group
        return {
            "num_texts": sum(num for num, _ in done),
            "num_tokens": sum(num for _, num in done),
            "seconds": round(time.perf_counter() - began_s, 4),
        }


_JSON = {"content-type": "application/json"}


async def _exchange(connection: tuple[asyncio.StreamReader, asyncio.StreamWriter], request: bytes) -> bool:
    """Send a request, and read its whole answer; whether the connection takes another one.

    Raises:
        BenchmarkError: its status is not 200.
    """
    reader, writer = connection
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    _, _, after = head.partition(b"content-length:")
    if after:
        body = await reader.readexactly(int(after.partition(b"\r\n")[0]))
    else:
        body = await _chunks(reader)
    status = head.split(b" ", 2)[1]
    if status != b"200":
        raise BenchmarkError(f"answered {status.decode()}: {body[:200].decode(errors='replace')}")
    return b"connection: close" not in head


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while num := int((await reader.readline()).strip(), 16):
        body += await reader.readexactly(num)
        await reader.readline()
    await reader.readline()
    return body


def _vector(given: str | list[float]) -> list[float]:
    if isinstance(given, str):
        return [float(x) for x in np.frombuffer(base64.b64decode(given), dtype="<f4")]
    return given
