"""Somebody else's OpenAI-compatible endpoint: its bytes, and its faults as errors of our tree.

The only place that knows httpx in the engines. One client, HTTP/1.1 with keep-alive; closing a
stream closes its connection, which is how the other side learns that nobody listens.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpx

from configs.load import ProfileError, secret
from configs.schema import SecretRef
from serve_app.errors import (
    BadRequest,
    ConfigError,
    DeadlineExceeded,
    EngineFailed,
    InputTooLong,
    MantaError,
    Overloaded,
    Unavailable,
)
from serve_app.messages import Deadline, Endpoint, JsonObject

_MAX_MESSAGE_CHARS = 500
_LINGER_S = 0.2
_MAX_EVENT_BYTES = 8 * 1024 * 1024
_EVENT_END = re.compile(rb"\r?\n\r?\n")
_DONE = re.compile(rb"^data:\s*\[DONE\]", re.MULTILINE)
_ERROR_EVENT = re.compile(rb'^data:\s*(\{\s*"error"\s*:.*)$', re.MULTILINE)


class Upstream:
    """POSTs to one endpoint. `name` is the model's, for messages."""

    def __init__(
        self,
        name: str,
        base_url: str,
        api_key: SecretRef | None,
        *,
        connect_timeout_s: float,
        max_connections: int,
    ) -> None:
        self._name = name
        self._host = urlsplit(base_url).netloc.rpartition("@")[2]
        self._base_url = base_url.rstrip("/")
        self._connect_timeout_s = connect_timeout_s
        self._client = httpx.AsyncClient(
            headers=_authorization(name, api_key),
            # Reads have no timeout of their own: the request's deadline bounds them.
            timeout=httpx.Timeout(None, connect=connect_timeout_s),
            limits=httpx.Limits(max_connections=max_connections, max_keepalive_connections=max_connections),
        )

    async def post(self, endpoint: Endpoint, body: JsonObject, deadline: Deadline) -> bytes:
        """The response's document."""
        deadline.check(self._host)
        try:
            async with asyncio.timeout(deadline.remaining_s()) as timer:
                response = await self._client.post(self._url(endpoint), json=body)
        except TimeoutError as exc:
            if not timer.expired():
                raise
            raise DeadlineExceeded(f"the request's time was over at: {self._host}", self._host) from exc
        except httpx.HTTPError as exc:
            raise self._unreachable(exc) from exc
        if response.status_code != 200:
            raise self._refusal(response.status_code, response.headers, response.content)
        return response.content

    async def stream(self, endpoint: Endpoint, body: JsonObject) -> AsyncIterator[bytes]:
        """The stream's events as they come, whole ones in each item, the last one `[DONE]`.

        The caller bounds the time.
        """
        held = b""
        try:
            async with self._client.stream("POST", self._url(endpoint), json=body) as response:
                if response.status_code != 200:
                    raise self._refusal(response.status_code, response.headers, await response.aread())
                content = response.aiter_bytes()
                async for raw in content:
                    events, held = _whole_events(held + raw)
                    if len(held) > _MAX_EVENT_BYTES:
                        raise EngineFailed(
                            f"{self._host} sent an event of more than {_MAX_EVENT_BYTES} bytes"
                        )
                    if not events:
                        continue
                    if failure := _ERROR_EVENT.search(events):
                        raise EngineFailed(f"{self._host} failed in its stream: {_message(failure[1])}")
                    yield events
                    if _DONE.search(events):
                        await _drain(content)
                        return
        except httpx.HTTPError as exc:
            raise self._unreachable(exc) from exc
        raise EngineFailed(f"the stream of {self._host} ended before it was complete")

    async def check_health(self) -> None:
        try:
            # A service that answers anything but a refusal or a fault of its own is there.
            response = await self._client.get(
                f"{self._base_url}/models", timeout=httpx.Timeout(self._connect_timeout_s)
            )
        except httpx.HTTPError as exc:
            raise self._unreachable(exc) from exc
        if response.status_code in (401, 403) or response.status_code >= 500:
            raise self._refusal(response.status_code, response.headers, response.content)

    async def close(self) -> None:
        await self._client.aclose()

    def _url(self, endpoint: Endpoint) -> str:
        return f"{self._base_url}/{endpoint}"

    def _unreachable(self, exc: httpx.HTTPError) -> MantaError:
        """A connection that failed. Before the request was sent it may be tried elsewhere at once."""
        if isinstance(exc, httpx.ConnectError | httpx.ConnectTimeout):
            return Unavailable(f"{self._host}, which serves {self._name}, cannot be reached: {_cause(exc)}")
        return EngineFailed(f"the connection to {self._host} broke: {_cause(exc)}")

    def _refusal(self, status: int, headers: httpx.Headers, content: bytes) -> MantaError:
        message = _message(content)
        if status in (401, 403):
            # Its message is left out: some services repeat a part of the key.
            return EngineFailed(f"{self._host} refused the API key of {self._name} (status {status})")
        if status == 429:
            return Overloaded(
                f"{self._host} has no capacity for {self._name}: {message}", _retry_after(headers)
            )
        if status in (400, 404, 413, 422):
            error = InputTooLong if _field(content, "code") == InputTooLong.code else BadRequest
            told = f"{self._host} refused the request for {self._name}: {message}"
            return error(told, _field(content, "param"))
        return EngineFailed(f"{self._host} answered with status {status}: {message}")


def _authorization(name: str, api_key: SecretRef | None) -> dict[str, str]:
    if api_key is None:
        return {}
    try:
        value = secret(api_key)
    except ProfileError as exc:
        raise ConfigError(f"the API key of {name} is missing: {exc}") from exc
    if not value.isascii() or not value.isprintable():
        raise ConfigError(
            f"the API key of {name} ({api_key.env}) has characters that no HTTP header may have"
        )
    return {"Authorization": f"Bearer {value}"}


async def _drain(content: AsyncIterator[bytes]) -> None:
    """Read the end of a body whose content is over: only then can its connection be used again."""
    try:
        async with asyncio.timeout(_LINGER_S):
            async for _ in content:
                pass
    except TimeoutError:
        return


def _whole_events(data: bytes) -> tuple[bytes, bytes]:
    """(whole events, the beginning of the next one)."""
    end = 0
    for match in _EVENT_END.finditer(data):
        end = match.end()
    return data[:end], data[end:]


def _error(content: bytes) -> JsonObject | None:
    """The error object of a body, as OpenAI and those who follow it write it."""
    try:
        document = json.loads(content)
    except ValueError:
        return None
    if not isinstance(document, dict):
        return None
    error = document.get("error", document)
    return error if isinstance(error, dict) else {"message": error}


def _message(content: bytes) -> str:
    error = _error(content)
    if error is None:
        text = content.decode("utf-8", "replace")
    else:
        text = str(error.get("message") or error.get("detail") or error)
    return " ".join(text.split())[:_MAX_MESSAGE_CHARS] or "no message"


def _field(content: bytes, name: str) -> str | None:
    value = (_error(content) or {}).get(name)
    return value if isinstance(value, str) else None


def _retry_after(headers: httpx.Headers) -> float:
    """Seconds; a date or nothing gives one second, like our own engines."""
    try:
        return max(0.0, float(headers.get("retry-after", "")))
    except ValueError:
        return 1.0


def _cause(exc: httpx.HTTPError) -> str:
    return str(exc) or exc.__class__.__name__
