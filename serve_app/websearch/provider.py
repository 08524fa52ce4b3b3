"""One HTTP exchange with a search provider: JSON in time and within bounds, or an error of our tree.

The only thing of web search that goes out, and it goes to the configured address alone: redirects are not followed,
and no page is ever fetched. The key stands in a header, and in no message, log line or repr.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx

from serve_app.errors import DeadlineExceeded, EngineFailed, MantaError, Overloaded, Unavailable
from serve_app.grounding.untrusted import one_line
from serve_app.messages import Deadline

_MAX_MESSAGE_CHARS = 200
_MAX_RETRY_AFTER_S = 3600.0
# Tavily's own, beside HTTP's: the key's or the plan's limit, and the pay-as-you-go limit (docs.tavily.com, 2026-11).
_LIMITED = frozenset({429, 432, 433})
_UNWELL = frozenset({408, 425, 500, 502, 503, 504, 520, 521, 522, 523, 524})


class Provider:
    """Requests to one provider.

    Args:
        name: whom errors name.
        url: its address; paths are appended.
        key: sent as bearer token; None: none is.
        connect_timeout_s: for a connection; the rest is bounded by each request's deadline.
        max_connections: at once.
        max_response_bytes: of a decoded body that are read.
    """

    def __init__(
        self,
        name: str,
        url: str,
        key: str | None,
        *,
        connect_timeout_s: float,
        max_connections: int,
        max_response_bytes: int,
    ) -> None:
        self._name = name
        self._url = url.rstrip("/")
        self._host = urlsplit(url).netloc.rpartition("@")[2]
        self._key = key
        self._max_response_bytes = max_response_bytes
        self._client = httpx.AsyncClient(
            headers={"authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(None, connect=connect_timeout_s),
            limits=httpx.Limits(max_connections=max_connections, max_keepalive_connections=max_connections),
            follow_redirects=False,
        )

    def __repr__(self) -> str:
        return f"Provider({self._name} at {self._host})"

    async def get(self, path: str, params: Mapping[str, str], deadline: Deadline) -> Any:
        """The answer's JSON document. Raises as `post`."""
        return await self._ask(self._client.build_request("GET", self._url + path, params=params), deadline)

    async def post(self, path: str, body: Mapping[str, Any], deadline: Deadline) -> Any:
        """The answer's JSON document.

        Raises:
            Overloaded, Unavailable, EngineFailed, DeadlineExceeded: as `WebSearch.search` has it.
        """
        return await self._ask(self._client.build_request("POST", self._url + path, json=body), deadline)

    async def close(self) -> None:
        await self._client.aclose()

    async def _ask(self, request: httpx.Request, deadline: Deadline) -> Any:
        deadline.check(self._name)
        try:
            async with asyncio.timeout(deadline.remaining_s()) as timer:
                response = await self._client.send(request, stream=True)
                try:
                    content = await self._read(response)
                finally:
                    await response.aclose()
        except TimeoutError as exc:
            if not timer.expired():
                raise
            raise DeadlineExceeded(f"{self._name} did not answer in time", self._name) from exc
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as exc:
            raise Unavailable(f"{self._name} cannot be reached at {self._host}: {_cause(exc)}") from exc
        except httpx.HTTPError as exc:
            raise EngineFailed(f"the connection to {self._name} broke: {_cause(exc)}") from exc
        if response.status_code != 200:
            raise self._refusal(response, content)
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as exc:
            raise EngineFailed(f"{self._name} answered with something that is no JSON") from exc

    async def _read(self, response: httpx.Response) -> bytes:
        parts: list[bytes] = []
        num_bytes = 0
        async for part in response.aiter_bytes():
            num_bytes += len(part)
            if num_bytes > self._max_response_bytes:
                raise EngineFailed(f"{self._name} answered with more than {self._max_response_bytes} bytes")
            parts.append(part)
        return b"".join(parts)

    def _refusal(self, response: httpx.Response, content: bytes) -> MantaError:
        status = response.status_code
        if status in (401, 403):  # its message is left out: some services repeat a part of the key
            return EngineFailed(
                f"{self._name} refused the key (status {status})"
                if self._key
                else f"{self._name} refused the request (status {status})"
            )
        said = self._message(content)
        if status in _LIMITED:
            return Overloaded(
                f"{self._name} has reached a limit (status {status}): {said}", _wait_s(response)
            )
        if status in _UNWELL:
            return Unavailable(f"{self._name} is unwell (status {status}): {said}")
        return EngineFailed(f"{self._name} answered with status {status}: {said}")

    def _message(self, content: bytes) -> str:
        text = content.decode("utf-8", "replace")
        if self._key:
            text = text.replace(self._key, "(key)")
        return one_line(text, _MAX_MESSAGE_CHARS) or "no message"


def _wait_s(response: httpx.Response) -> float:
    """Seconds; a date or nothing gives five."""
    try:
        return min(max(0.0, float(response.headers.get("retry-after", ""))), _MAX_RETRY_AFTER_S)
    except ValueError:
        return 5.0


def _cause(exc: httpx.HTTPError) -> str:
    return str(exc) or exc.__class__.__name__
