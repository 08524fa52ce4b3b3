"""A few careful questions to a server before it is measured: each bounded in time and size.

The load itself is sent by `client`, which is made for speed; this is made for finding out. Like the
load it goes straight to the server: no proxy of the environment, no redirect is followed.

Knows nothing of models or tokens; answers, or raises BadTarget with the address in the message.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec

from benchmarks.errors import BadTarget

MAX_ANSWER_BYTES = 16 * 1024 * 1024
MAX_AT_ONCE = 8
_MAX_DETAIL_CHARS = 300
_TURNED_AWAY = (429, 503)


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer, whatever its status.

    Args:
        asked: the question, for messages: "POST http://host/v1/completions".
    """

    asked: str
    status: int
    content_type: str
    body: bytes

    @property
    def is_ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def is_event_stream(self) -> bool:
        return self.content_type.partition(";")[0].strip().lower() == "text/event-stream"

    def document(self) -> dict[str, Any]:
        """The body as a JSON object.

        Raises:
            BadTarget: the status is not 2xx, or the body is something else.
        """
        if not self.is_ok:
            raise BadTarget(self.refusal())
        try:
            return msgspec.json.decode(self.body, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise BadTarget(f"{self.asked} answered {self.status}, but no JSON object: {exc}") from exc

    def refusal(self) -> str:
        """What the server said instead of serving, on one line."""
        return f"{self.asked} answered {self.status}: {error_text(self.body) or 'nothing more'}"


def error_text(body: bytes) -> str:
    """The message of an error body: OpenAI's `error.message`, FastAPI's `detail`, or the text itself."""
    try:
        found: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        found = body.decode("utf-8", "replace")
    for name in ("error", "message", "detail"):
        if isinstance(found, dict) and found.get(name):
            found = found[name]
    text = found if isinstance(found, str) else msgspec.json.encode(found).decode()
    return " ".join(text.split())[:_MAX_DETAIL_CHARS]


class Probe:
    """Asks one server. Close it when done, or use it in a `with`; not from inside a running event loop.

    Args:
        url: scheme, host, port and, where the server has one, the path before `/v1`.
        timeout_s: from the question to the answer's last byte, connecting included.
        transport: stands in for the network in tests.

    Raises:
        BadTarget: the address, the key, a header or the certificates' file cannot be used.
    """

    def __init__(
        self,
        url: str,
        headers: Iterable[tuple[str, str]] = (),
        api_key: str | None = None,
        *,
        timeout_s: float,
        ca_file: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = server_url(url)
        self._timeout_s = timeout_s
        client = httpx.AsyncClient(
            headers=_checked_headers(headers, api_key),
            timeout=timeout_s,
            trust_env=False,
            verify=_trusted(ca_file) if self.url.startswith("https:") else True,
            transport=transport,
        )
        self._client = client
        self._runner = asyncio.Runner()

    def __enter__(self) -> Probe:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()

    def get(self, path: str) -> Answer:
        """The server's answer to GET.

        Raises:
            BadTarget: there was none, or not all of it, in time.
        """
        return self._runner.run(self._ask("GET", path, None))

    def post(self, path: str, body: dict[str, Any]) -> Answer:
        """The server's answer to a JSON object.

        Raises:
            BadTarget: there was none, or not all of it, in time.
        """
        return self._runner.run(self._ask("POST", path, body))

    def post_all(self, path: str, bodies: Sequence[dict[str, Any]]) -> list[Answer]:
        """The answers in the order of the bodies; a few are asked at the same time.

        A server that takes fewer at once is asked again, one by one, what it turned away.

        Raises:
            BadTarget: one of them had none, or not all of it, in time.
        """
        answers: list[Answer] = []
        for start in range(0, len(bodies), MAX_AT_ONCE):
            some = bodies[start : start + MAX_AT_ONCE]
            together = self._runner.run(self._ask_together(path, some))
            answers += [
                self.post(path, body) if answer.status in _TURNED_AWAY else answer
                for body, answer in zip(some, together, strict=True)
            ]
        return answers

    async def _ask_together(self, path: str, bodies: Sequence[dict[str, Any]]) -> list[Answer]:
        questions = [self._ask("POST", path, body) for body in bodies]
        done = await asyncio.gather(*questions, return_exceptions=True)
        for one in done:
            if isinstance(one, BaseException):
                raise one
        return [one for one in done if isinstance(one, Answer)]

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None) -> Answer:
        asked = f"{method} {self.url}{path}"
        received = bytearray()
        try:
            # httpx bounds each read; a server that drips bytes is only bounded by the whole.
            async with (
                asyncio.timeout(self._timeout_s),
                self._client.stream(method, f"{self.url}{path}", json=body) as answer,
            ):
                async for chunk in answer.aiter_bytes():
                    received += chunk
                    if len(received) > MAX_ANSWER_BYTES:
                        raise BadTarget(f"{asked} answered more than {MAX_ANSWER_BYTES} bytes")
        except (TimeoutError, httpx.TimeoutException) as exc:
            came = f"{len(received)} bytes of an answer came" if received else "no answer came"
            raise BadTarget(f"{asked}: not done within {self._timeout_s:g} s; {came}") from exc
        except httpx.ConnectError as exc:
            raise BadTarget(f"{self.url} is not there: {_root(exc)}") from exc
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            came = f" after {len(received)} bytes of the answer" if received else ""
            raise BadTarget(f"{asked} broke off{came}: {exc or type(exc).__name__}") from exc
        return Answer(asked, answer.status_code, answer.headers.get("content-type", ""), bytes(received))


def server_url(text: str) -> str:
    """The address as a Target has it: without a slash or `/v1` at its end.

    Raises:
        BadTarget: it is not an address of a server.
    """
    try:
        parts = urlsplit(text)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable:
        raise BadTarget(f"{text!r} is not the address of a server, such as http://127.0.0.1:8000")
    if parts.username is not None or parts.password is not None:
        raise BadTarget(f"the address of {parts.hostname} holds a user or password; send it as a header")
    if parts.query or parts.fragment:
        raise BadTarget(f"{text!r} goes on after the path; an address ends before ? and #")
    path = parts.path.rstrip("/").removesuffix("/v1").rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path}"


def _checked_headers(headers: Iterable[tuple[str, str]], api_key: str | None) -> list[tuple[str, str]]:
    """Accept-encoding is identity, as the load's; a value that no request can carry is named, never shown."""
    all_headers = [("accept-encoding", "identity"), *headers]
    if api_key is not None:
        all_headers.append(("authorization", f"Bearer {api_key}"))
    for name, value in all_headers:
        if not (name and (name + value).isascii() and (name + value).isprintable()):
            what = "API key" if name == "authorization" else f"header {name!r}"
            raise BadTarget(f"the {what} has characters that no HTTP header can carry")
    return all_headers


def _root(exc: BaseException) -> str:
    """What began it: the operating system's word instead of "all connection attempts failed"."""
    while True:
        below = exc.exceptions[0] if isinstance(exc, BaseExceptionGroup) else exc.__cause__ or exc.__context__
        if below is None:
            break
        exc = below
    if isinstance(exc, OSError) and exc.errno and not isinstance(exc, (ssl.SSLError, socket.gaierror)):
        return os.strerror(exc.errno)
    return str(exc)


def _trusted(ca_file: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as exc:
        raise BadTarget(f"cannot read certificates from {ca_file}: {exc}") from exc
