from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from configs.schema import OidcConfig
from serve_app.errors import Unavailable
from serve_app.identity.jwks import JwksCache

ISSUER = "https://issuer.example/realm"


class Issuer:
    """What an issuer's server answers."""

    def __init__(self) -> None:
        self.kids = ["one"]
        self.is_gone = False
        self.named = ISSUER
        self.jwks_uri: object = "https://keys.example/jwks"
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(str(request.url))
        if self.is_gone:
            raise httpx.ConnectError("refused")
        if request.url.path.endswith("openid-configuration"):
            return httpx.Response(200, json={"issuer": self.named, "jwks_uri": self.jwks_uri})
        keys = [{"kid": kid, "kty": "EC", "crv": "P-256", "x": "", "y": ""} for kid in self.kids]
        bad = [
            {"kid": "shared", "kty": "oct", "k": "c2VjcmV0"},
            {"kid": "box", "kty": "RSA", "use": "enc"},
            5,
        ]
        return httpx.Response(200, json={"keys": [*keys, *bad, {"kty": "RSA"}]})


class Time:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
async def cache(issuer: Issuer, clock: Time) -> AsyncIterator[JwksCache]:
    config = OidcConfig(issuer=ISSUER, audience="a", refresh_s=3600, min_refresh_s=10, max_stale_s=7200)
    async with httpx.AsyncClient(transport=httpx.MockTransport(issuer)) as client:
        yield JwksCache(config, client, clock=clock)


async def test_keys_are_found_by_discovery_and_kept(cache: JwksCache, issuer: Issuer) -> None:
    assert (await cache.key("one") or {})["kty"] == "EC"
    assert issuer.asked == [f"{ISSUER}/.well-known/openid-configuration", "https://keys.example/jwks"]
    await cache.key("one")
    assert len(issuer.asked) == 2


@pytest.mark.parametrize("kid", ["shared", "box"])
async def test_only_public_keys_for_signatures_count(cache: JwksCache, kid: str) -> None:
    assert await cache.key(kid) is None


async def test_a_new_key_is_fetched_when_it_is_named(cache: JwksCache, issuer: Issuer, clock: Time) -> None:
    await cache.key("one")
    issuer.kids = ["two"]
    assert await cache.key("two") is None  # asked a moment ago
    clock.now_s += 11
    assert await cache.key("two") is not None
    assert await cache.key("one") is None  # rotated away


async def test_made_up_keys_do_not_make_fetches(cache: JwksCache, issuer: Issuer, clock: Time) -> None:
    await cache.key("one")
    clock.now_s += 11
    await asyncio.gather(*(cache.key(f"made-up-{number}") for number in range(1000)))
    assert len(issuer.asked) == 4


async def test_known_keys_stay_good_while_the_issuer_is_gone(
    cache: JwksCache, issuer: Issuer, clock: Time
) -> None:
    await cache.key("one")
    issuer.is_gone = True
    clock.now_s += 3700
    assert await cache.key("one") is not None
    clock.now_s += 3700
    with pytest.raises(Unavailable, match="too long"):
        await cache.key("one")
    issuer.is_gone = False
    clock.now_s += 11
    assert await cache.key("one") is not None


async def test_an_issuer_that_was_never_reached_is_unavailable(cache: JwksCache, issuer: Issuer) -> None:
    issuer.is_gone = True
    for _ in range(3):
        with pytest.raises(Unavailable, match="cannot be fetched"):
            await cache.key("one")
    assert len(issuer.asked) == 1


@pytest.mark.parametrize(
    ("named", "jwks_uri"),
    [
        ("https://evil.example", "https://keys.example/jwks"),
        (ISSUER, "http://keys.example/jwks"),
        (ISSUER, "file:///etc/passwd"),
        (ISSUER, None),
    ],
)
async def test_a_discovery_that_leads_elsewhere_is_not_followed(
    cache: JwksCache, issuer: Issuer, named: str, jwks_uri: object
) -> None:
    issuer.named, issuer.jwks_uri = named, jwks_uri
    with pytest.raises(Unavailable):
        await cache.key("one")
    assert len(issuer.asked) == 1
