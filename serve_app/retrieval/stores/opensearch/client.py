"""One AsyncOpenSearch: requests with a deadline, made again where that helps, and faults as errors of our tree.

The only place that knows the library. Every request that is made here may be made twice: searches change
nothing, writes name the documents that they put or delete.
"""

from __future__ import annotations

import asyncio
import io
import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import opensearchpy
from opensearchpy.serializer import JSONSerializer

from configs.load import ProfileError, secret
from configs.schema import BasicAuth, OpenSearchStoreConfig, SigV4Auth
from serve_app.breaker import Breaker
from serve_app.errors import ConfigError, DeadlineExceeded, MantaError, Unavailable
from serve_app.messages import Deadline
from serve_app.retrieval.stores.opensearch.faults import is_block, refusal

_FIRST_PAUSE_S, _MAX_PAUSE_S = 0.1, 5.0
_AGAIN = (429, 502, 503, 504)


class _TryAgain(Exception):
    """A fault that another attempt may not have."""

    def __init__(self, fault: MantaError) -> None:
        super().__init__(fault)
        self.fault = fault


class Client:
    """Requests to one server.

    Args:
        config: of the store.
        sleep: waits between two attempts; given in tests.
    """

    def __init__(self, config: OpenSearchStoreConfig, sleep: Callable[[float], Any] = asyncio.sleep) -> None:
        self._config = config
        self._host = urlsplit(config.url).netloc.rpartition("@")[2]
        self._sleep = sleep
        self._breaker = Breaker(
            f"OpenSearch at {self._host}", config.breaker_failures, config.breaker_pause_s, time.monotonic
        )
        self._client: opensearchpy.AsyncOpenSearch | None = None

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        what: str,
        params: Mapping[str, str] | None = None,
        deadline: Deadline | None = None,
        limit_s: float | None = None,
    ) -> Any:
        """The answer's document.

        Args:
            method: of HTTP.
            path: below the server's address.
            body: a document, or bytes as they are.
            what: is asked for, in a message's words: "the search".
            params: of the path.
            deadline: when there is no use in an answer any more.
            limit_s: seconds for one attempt; None: the configuration's.

        Raises:
            IndexGone, Refused, Unavailable, Overloaded, StorageFull, DeadlineExceeded.
        """
        num_made = 0
        while True:
            self._breaker.check()
            try:
                return await self._once(
                    method, path, body, params, self._timeout_s(deadline, limit_s, what), what
                )
            except _TryAgain as exc:
                await self._wait(num_made, exc.fault, deadline, what)
            num_made += 1

    async def close(self) -> None:
        if self._client is not None:
            client, self._client = self._client, None
            await client.close()

    async def _once(
        self,
        method: str,
        path: str,
        body: Any,
        params: Mapping[str, str] | None,
        timeout_s: float,
        what: str,
    ) -> Any:
        if self._client is None:
            self._client = _open(self._config)
        if isinstance(body, bytes):
            body = io.BytesIO(body)  # sent in pieces: a large body in one would hold up the event loop
        try:
            answer = await self._client.transport.perform_request(
                method, path, params=dict(params or {}), body=body, timeout=timeout_s
            )
        except opensearchpy.ConnectionTimeout as exc:
            self._breaker.failed()
            raise Unavailable(f"OpenSearch at {self._host} did not answer within {timeout_s:.3g} s") from exc
        except opensearchpy.SSLError as exc:
            raise Unavailable(f"OpenSearch at {self._host} has a certificate that is not trusted") from exc
        except opensearchpy.ConnectionError as exc:
            self._breaker.failed()
            raise _TryAgain(
                Unavailable(f"OpenSearch at {self._host} cannot be reached: {_told(exc)}")
            ) from exc
        except opensearchpy.TransportError as exc:
            self._breaker.succeeded()
            raise _translated(exc, what) from exc
        except opensearchpy.SerializationError as exc:
            raise Unavailable(f"OpenSearch at {self._host} sent no JSON") from exc
        self._breaker.succeeded()
        return answer

    def _timeout_s(self, deadline: Deadline | None, limit_s: float | None, what: str) -> float:
        limit_s = limit_s or self._config.request_timeout_s
        if deadline is None:
            return limit_s
        deadline.check(what)
        return deadline.within(limit_s)

    async def _wait(self, num_made: int, fault: MantaError, deadline: Deadline | None, what: str) -> None:
        """Wait before the next attempt; raise the fault if there is none, DeadlineExceeded if no time."""
        if num_made >= self._config.max_retries:
            raise fault
        # Full jitter: many writers that were refused at once do not come back at once.
        ceiling_s = min(_MAX_PAUSE_S, _FIRST_PAUSE_S * 2**num_made)
        pause_s = ceiling_s * (0.5 + 0.5 * random.random())  # noqa: S311
        if deadline is not None and deadline.remaining_s() <= pause_s:
            raise DeadlineExceeded(f"the request's time was over at: {what}", what) from fault
        await self._sleep(pause_s)


class _Json(JSONSerializer):
    """The library's JSON, many times faster: a search's answer is mostly numbers."""

    def loads(self, s: str) -> Any:
        try:
            return msgspec.json.decode(s)
        except (msgspec.DecodeError, UnicodeError) as exc:
            raise opensearchpy.SerializationError(s[:200], exc) from exc

    def dumps(self, data: Any) -> Any:
        return data if isinstance(data, str | bytes | io.BytesIO) else msgspec.json.encode(data)


def _open(config: OpenSearchStoreConfig) -> opensearchpy.AsyncOpenSearch:
    url = urlsplit(config.url)
    options: dict[str, Any] = {}
    if url.scheme == "https":
        options["use_ssl"] = True
        options["verify_certs"] = True
        if config.ca_file is not None:
            path = Path(config.ca_file).expanduser()
            if not path.is_file():
                raise ConfigError(f"knowledge.store.ca_file: {config.ca_file}: no such file")
            options["ca_certs"] = str(path)
    port = url.port or (443 if url.scheme == "https" else 80)
    return opensearchpy.AsyncOpenSearch(
        hosts=[{"host": url.hostname or "", "port": port, "url_prefix": url.path.strip("/")}],
        http_auth=_auth(config.auth),
        # Only this one of the library's two connections signs.
        connection_class=opensearchpy.AsyncHttpConnection
        if isinstance(config.auth, SigV4Auth)
        else opensearchpy.AIOHttpConnection,
        serializer=_Json(),
        maxsize=config.max_connections,
        # Attempts are counted above, where the deadline is known.
        max_retries=0,
        retry_on_status=(),
        **options,
    )


def _auth(config: BasicAuth | SigV4Auth | None) -> Any:
    if config is None:
        return None
    if isinstance(config, BasicAuth):
        return (config.user, _password(config))
    try:
        import botocore.session
    except ImportError as exc:
        raise ConfigError(
            "knowledge.store.auth: sigv4 needs the extra `aws` (pip install -e .[aws])"
        ) from exc
    credentials = botocore.session.get_session().get_credentials()
    if credentials is None:
        raise ConfigError("knowledge.store.auth: boto finds no AWS credentials")
    return opensearchpy.AWSV4SignerAsyncAuth(credentials, config.region, config.service)


def _password(config: BasicAuth) -> str:
    try:
        value = secret(config.password)
    except ProfileError as exc:
        raise ConfigError(f"the password of knowledge.store.auth is missing: {exc}") from exc
    if not value.isascii() or not value.isprintable():
        raise ConfigError(
            f"knowledge.store.auth: {config.password.env} has characters that no HTTP header may have"
        )
    return value


def _translated(exc: opensearchpy.TransportError, what: str) -> Exception:
    status = exc.status_code if isinstance(exc.status_code, int) else 0
    info = exc.info
    error = info.get("error", info) if isinstance(info, Mapping) else info
    made = refusal(status, error, what)
    return _TryAgain(made) if status in _AGAIN and not is_block(error) else made


def _told(exc: opensearchpy.TransportError) -> str:
    return " ".join(str(exc.error).split())[:200]
