from __future__ import annotations

import hmac

import pytest

from configs.schema import AuthenticationConfig, GatewayConfig, SecretRef
from serve_app.errors import BadRequest, ConfigError, Unauthenticated
from serve_app.identity.authenticator import ANONYMOUS, Authenticator
from serve_app.identity.base import Role
from serve_app.identity.credentials import Credentials, read_credentials, refuse_in_url
from serve_app.identity.exposure import require_safe
from serve_app.identity.gateway import Gateway
from serve_app.identity.keys import make_key

KEY = make_key("x", "t", Role.USER, 0.0).key


@pytest.mark.parametrize(
    "header",
    [
        (b"authorization", f"Bearer {KEY}"),
        (b"authorization", f"bearer  {KEY} "),
        (b"x-api-key", KEY),
        (b"api-key", KEY),
    ],
)
def test_a_key_is_found_where_clients_put_it(header: tuple[bytes, str]) -> None:
    assert read_credentials([(header[0], header[1].encode())]).bearer == KEY


@pytest.mark.parametrize(
    "headers",
    [
        [(b"authorization", b"Basic dTpw")],
        [(b"authorization", b"Bearer a"), (b"authorization", b"Bearer b")],
        [(b"authorization", b"Bearer a"), (b"x-api-key", b"b")],
        [(b"x-manta-gateway", b"a"), (b"x-manta-gateway", b"b")],
        [(b"authorization", b"Bearer " + b"a" * 9000)],
        [(b"x-manta-gateway", b"a" * 9000)],
    ],
)
def test_what_is_ambiguous_or_too_large_is_refused(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(Unauthenticated):
        read_credentials(headers)


def test_credentials_are_not_printed() -> None:
    assert KEY not in repr(Credentials(KEY, KEY))


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/v1/models", f"api_key={KEY}"),
        ("/v1/models", "API_KEY=whatever"),
        ("/v1/models", "a=1&access_token=x"),
        ("/v1/models", f"q={KEY}"),
        (f"/v1/models/{KEY}", ""),
        ("/v1/models", f"q={KEY.replace('_', '%5F')}"),
        ("/v1/models", f"{KEY}"),
        ("/v1/models", "%61pi_key=x"),
    ],
)
def test_a_key_in_the_url_is_refused_and_not_repeated(path: str, query: str) -> None:
    with pytest.raises(BadRequest) as caught:
        refuse_in_url(path, query.encode())
    assert KEY not in str(caught.value)


def test_other_urls_are_fine() -> None:
    refuse_in_url("/v1/models/manta_of_somebody", b"limit=5&after=key")


async def test_a_gateway_is_known_by_its_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    num_compared = 0
    real = hmac.compare_digest

    def compare(one: bytes, other: bytes) -> bool:
        nonlocal num_compared
        num_compared += 1
        return real(one, other)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    door = Authenticator(gateway=Gateway(["new", "old"]))
    for secret in ("new", "old"):
        assert (await door.principal(Credentials(gateway=secret))).may_choose_tenant
    with pytest.raises(Unauthenticated):
        await door.principal(Credentials(gateway="n"))
    assert num_compared == 6  # each time with both
    with pytest.raises(Unauthenticated, match="from the gateway"):
        await door.principal(Credentials(bearer=KEY))


async def test_where_nothing_is_configured_everybody_may_all() -> None:
    assert await Authenticator().principal(Credentials()) is ANONYMOUS
    assert ANONYMOUS.role is Role.ADMIN


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "localhost", "::1", "[::1]", None])
def test_an_open_application_may_listen_on_loopback(host: str | None) -> None:
    require_safe(host, AuthenticationConfig())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org", "", "127.0.0.1.evil.org"])
def test_an_open_application_listens_nowhere_else(host: str) -> None:
    with pytest.raises(ConfigError, match=r"door\.authentication"):
        require_safe(host, AuthenticationConfig())
    require_safe(host, AuthenticationConfig(gateway=GatewayConfig(secret=SecretRef(env="X"))))
