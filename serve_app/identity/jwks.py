"""An issuer's public keys: found by discovery, fetched, kept, fetched again when a token names one that is new.

Fetches are few, however many tokens name keys that nobody has: one at a time, and none within `min_refresh_s` of the
last. While the issuer is gone the keys that are known stay good, for a bounded time.

Knows httpx and nothing of what the keys are used for.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx

from configs.schema import OidcConfig
from serve_app.errors import Unavailable

logger = logging.getLogger("manta.identity")

FETCH_TIMEOUT_S = 5.0
_MAX_BYTES = 1024 * 1024
_MAX_KEYS = 200
_LOOPBACK = ("127.0.0.1", "::1", "localhost")

Jwk = Mapping[str, Any]


class JwksCache:
    """The keys of one issuer, by `kid`.

    Args:
        client: makes the requests; owned by the caller.
        clock: monotonic seconds.
    """

    def __init__(
        self, config: OidcConfig, client: httpx.AsyncClient, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._config = config
        self._client = client
        self._clock = clock
        self._keys: dict[str, Jwk] = {}
        self._fetched_at_s: float | None = None  # when it last succeeded
        self._tried_at_s: float | None = None
        self._fetching = asyncio.Lock()

    async def key(self, kid: str) -> Jwk | None:
        """The key of that id; None: the issuer has none.

        Raises:
            Unavailable: the issuer cannot be asked, and what is known does not tell.
        """
        if self._is_due(kid):
            await self._refresh(kid)
        if self._fetched_at_s is None:
            raise Unavailable(f"the keys of {self._config.issuer} cannot be fetched")
        if self._clock() - self._fetched_at_s > self._config.max_stale_s:
            raise Unavailable(f"the keys of {self._config.issuer} could not be fetched for too long")
        return self._keys.get(kid)

    def _is_due(self, kid: str) -> bool:
        now = self._clock()
        if self._tried_at_s is not None and now - self._tried_at_s < self._config.min_refresh_s:
            return False
        is_old = self._fetched_at_s is None or now - self._fetched_at_s > self._config.refresh_s
        return is_old or kid not in self._keys

    async def _refresh(self, kid: str) -> None:
        async with self._fetching:
            if not self._is_due(kid):
                return  # whoever had the lock before has asked
            began_s = self._tried_at_s = self._clock()
            try:
                self._keys = await self._fetch()
            except (httpx.HTTPError, ValueError, TimeoutError) as exc:
                # Not the URL: it can hold what an operator would rather not see in a client's error.
                logger.warning("the keys of %s are not refreshed: %s", self._config.issuer, exc)
                return
            self._fetched_at_s = began_s

    async def _fetch(self) -> dict[str, Jwk]:
        async with asyncio.timeout(FETCH_TIMEOUT_S):
            url = self._config.jwks_url or await self._discover()
            document = await self._get(url)
        keys = document.get("keys")
        if not isinstance(keys, list):
            raise ValueError("the key set has no list `keys`")  # noqa: TRY004 (as below)
        return {key["kid"]: key for key in keys[:_MAX_KEYS] if _is_usable(key)}

    async def _discover(self) -> str:
        """OpenID Connect Discovery 1.0, 4: the document must name the issuer that was asked."""
        document = await self._get(f"{self._config.issuer.rstrip('/')}/.well-known/openid-configuration")
        if document.get("issuer") != self._config.issuer:
            raise ValueError(f"the discovered issuer is {document.get('issuer')!r:.200}")
        url = document.get("jwks_uri")
        if not isinstance(url, str) or not _is_safe(url):
            raise ValueError("the discovered jwks_uri is no https URL")
        return url

    async def _get(self, url: str) -> dict[str, Any]:
        async with self._client.stream("GET", url, follow_redirects=False) as response:
            if response.status_code != 200:
                raise ValueError(f"{response.url.path} answered {response.status_code}")
            raw = b""
            async for part in response.aiter_bytes():
                raw += part
                if len(raw) > _MAX_BYTES:
                    raise ValueError(f"{response.url.path} is larger than {_MAX_BYTES} bytes")
        document = json.loads(raw)
        if not isinstance(document, dict):
            raise ValueError(f"{url} is no JSON object")  # noqa: TRY004 (a fault of the document's value)
        return document


def _is_usable(key: object) -> bool:
    """A public key for signatures; `oct` is a shared secret, which has no place among public keys."""
    return (
        isinstance(key, dict)
        and isinstance(key.get("kid"), str)
        and key.get("kty") in ("RSA", "EC", "OKP")
        and key.get("use", "sig") == "sig"
    )


def _is_safe(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
