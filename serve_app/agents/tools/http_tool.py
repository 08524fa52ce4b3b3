"""One endpoint of an HTTP API as a tool: to hosts that are allowed, with a secret that goes nowhere else.

What the other side says in a failure is not passed on: its status is.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import httpx

from configs.schema import HttpTool
from configs.schema.agents.tools import PLACEHOLDER
from serve_app.agents.base import ToolOutput, ToolSpec
from serve_app.agents.tools.secret_header import header_of
from serve_app.errors import BadRequest, DeadlineExceeded, EngineFailed, Forbidden, Unavailable
from serve_app.messages import JsonObject, RequestContext

_CONNECT_S = 5.0
_MAX_REDIRECTS = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TEXT_TYPES = re.compile(r"text/|application/(?:[\w.+-]+\+)?(?:json|xml|yaml|x-ndjson)\b")
_JSON_TYPES = re.compile(r"application/(?:[\w.+-]+\+)?json\b")
_IN_QUERY = frozenset({"GET", "DELETE"})


class HttpApiTool:
    """A Tool over an endpoint."""

    def __init__(self, config: HttpTool) -> None:
        self._config = config
        self._client = httpx.AsyncClient(
            # Reads have no time-out of their own: the call's deadline bounds them.
            timeout=httpx.Timeout(None, connect=_CONNECT_S),
            follow_redirects=False,
            trust_env=False,
        )
        self._in_url = frozenset(PLACEHOLDER.findall(config.url))
        self._secret = header_of(config.secret, config.name)
        self._spec = ToolSpec.of(config, config.description, _schema(config))

    @property
    def spec(self) -> ToolSpec:
        return self._spec

    async def call(self, arguments: JsonObject, context: RequestContext) -> ToolOutput:
        request = self._request(arguments)
        try:
            async with asyncio.timeout(context.deadline.remaining_s()) as timer:
                return ToolOutput(await self._fetch(request))
        except TimeoutError as exc:
            if not timer.expired():
                raise Unavailable(f"{self._config.name}: its server does not answer") from exc
            raise DeadlineExceeded(f"{self._config.name} took too long", self._config.name) from exc
        except httpx.HTTPError as exc:
            raise Unavailable(f"{self._config.name}: no answer ({exc.__class__.__name__})") from exc

    async def close(self) -> None:
        await self._client.aclose()

    def _request(self, arguments: JsonObject) -> httpx.Request:
        config = self._config
        url = PLACEHOLDER.sub(lambda found: _in_url(found[1], arguments[found[1]]), config.url)
        rest = {name: value for name, value in arguments.items() if name not in self._in_url}
        headers = {"accept-encoding": "identity", **config.headers, **self._secret}
        if config.method in _IN_QUERY:
            return self._client.build_request(config.method, _with_query(url, rest), headers=headers)
        return self._client.build_request(config.method, url, headers=headers, json=rest)

    async def _fetch(self, request: httpx.Request) -> str:
        """The body of what the request leads to, by way of allowed hosts only.

        Raises:
            Forbidden: it leads elsewhere.
            EngineFailed: what came is no answer.
        """
        for _ in range(_MAX_REDIRECTS + 1):
            self._require_allowed(request.url)
            response = await self._client.send(request, stream=True, follow_redirects=False)
            try:
                if response.status_code not in _REDIRECTS:
                    return await self._body(response)
            finally:
                await response.aclose()
            request = self._redirected(request, response)
        raise EngineFailed(f"{self._config.name}: more than {_MAX_REDIRECTS} redirects")

    def _redirected(self, request: httpx.Request, response: httpx.Response) -> httpx.Request:
        if self._config.method != "GET":
            raise EngineFailed(
                f"{self._config.name}: its server redirects, which {self._config.method} does not follow"
            )
        url = request.url.join(response.headers.get("location", ""))
        is_same = (url.scheme, url.netloc) == (request.url.scheme, request.url.netloc)
        if request.url.scheme == "https" and url.scheme != "https":
            raise Forbidden(f"{self._config.name}: its server redirects to where all can read along")
        # Whoever it leads to is no party to the secret.
        headers = request.headers.copy()
        headers.pop("host", None)
        for name in () if is_same else self._secret:
            headers.pop(name, None)
        return self._client.build_request("GET", url, headers=headers)

    def _require_allowed(self, url: httpx.URL) -> None:
        if url.userinfo or not is_allowed(url, self._config.allowed_hosts):
            raise Forbidden(f"{self._config.name}: its server leads to a host that is not allowed")

    async def _body(self, response: httpx.Response) -> str:
        name, limit = self._config.name, self._config.max_response_bytes
        if response.status_code >= 400:
            raise EngineFailed(f"{name}: its server answered with status {response.status_code}")
        if response.headers.get("content-encoding", "identity") != "identity":
            raise EngineFailed(f"{name}: its server sent what was not asked for: a compressed answer")
        content_type = response.headers.get("content-type", "text/plain").lower()
        if not _TEXT_TYPES.match(content_type):
            raise EngineFailed(f"{name}: its server answered with something that is no text")
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > limit:
                raise EngineFailed(f"{name}: the answer is longer than {limit} bytes; ask for less")
        return _text(name, bytes(body), is_json=bool(_JSON_TYPES.match(content_type)))


def is_allowed(url: httpx.URL, hosts: Collection[str]) -> bool:
    """Whether a URL leads to one of the hosts, which may name the scheme's own port or leave it out."""
    port = {"http": 80, "https": 443}.get(url.scheme)
    host = url.netloc.decode("ascii").lower()  # without the scheme's own port
    return port is not None and (host in hosts or (url.port is None and f"{host}:{port}" in hosts))


def _schema(config: HttpTool) -> JsonObject:
    return {
        "type": "object",
        "properties": config.parameters,
        "required": [name for name in config.parameters if name not in config.optional],
        "additionalProperties": False,
    }


def _in_url(name: str, value: Any) -> str:
    """An argument inside the URL: one segment, whatever it holds."""
    text = _plain(value)
    if text in ("", ".", ".."):
        raise BadRequest(f"{name}: cannot be {text!r}")
    return quote(text, safe="")


def _with_query(url: str, values: Mapping[str, Any]) -> str:
    pairs = [
        (name, _plain(one))
        for name, value in values.items()
        for one in (value if isinstance(value, list) else [value])
    ]
    parts = urlsplit(url)
    query = "&".join(
        [*([parts.query] if parts.query else []), *(f"{quote(k)}={quote(v, safe='')}" for k, v in pairs)]
    )
    return urlunsplit(parts._replace(query=query))


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _text(name: str, body: bytes, *, is_json: bool) -> str:
    try:
        text = body.decode()
        if is_json and text.strip():
            json.loads(text)
    except ValueError as exc:  # of UnicodeDecodeError and JSONDecodeError alike
        what = "JSON" if is_json else "UTF-8"
        raise EngineFailed(f"{name}: its server answered with something that is no {what}") from exc
    return text
