from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from configs.schema import OidcConfig
from serve_app.errors import Forbidden, Unauthenticated
from serve_app.identity.base import Role
from serve_app.identity.tokens import MAX_TOKEN_CHARS, TokenVerifier

ISSUER = "https://issuer.example"
EC_KEY = ec.generate_private_key(ec.SECP256R1())
RSA_KEY = rsa.generate_private_key(65537, 2048)
CONFIG = OidcConfig(issuer=ISSUER, audience="manta", tenant_claim="org.name", role_claim="realm.roles")


class Keys:
    """A key set that needs no network."""

    def __init__(self) -> None:
        self.keys: dict[str, Mapping[str, Any]] = {
            "ec": ECAlgorithm.to_jwk(EC_KEY.public_key(), as_dict=True) | {"kid": "ec"},
            "rsa": RSAAlgorithm.to_jwk(RSA_KEY.public_key(), as_dict=True) | {"kid": "rsa", "alg": "RS256"},
        }

    async def key(self, kid: str) -> Mapping[str, Any] | None:
        return self.keys.get(kid)


@pytest.fixture
def verifier() -> TokenVerifier:
    return TokenVerifier([(CONFIG, Keys())])


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    known = {
        "iss": ISSUER,
        "aud": "manta",
        "sub": "ann",
        "exp": now + 60,
        "iat": now,
        "org": {"name": "team-a"},
        "realm": {"roles": ["reader", "operator"]},
    }
    return {name: value for name, value in (known | changes).items() if value is not None}


def token(kid: str | None = "ec", **changes: Any) -> str:
    return jwt.encode(claims(**changes), EC_KEY, "ES256", headers={"kid": kid} if kid else None)


def by_hand(header: Mapping[str, Any], body: Mapping[str, Any], sign: Any) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, body)]
    signed = b".".join(parts)
    return (signed + b"." + base64.urlsafe_b64encode(sign(signed)).rstrip(b"=")).decode()


async def test_a_token_says_who_and_for_whom(verifier: TokenVerifier) -> None:
    who = await verifier.principal(token())
    assert (who.kind, who.id, who.tenant, who.role) == ("token", f"{ISSUER}#ann", "team-a", Role.OPERATOR)


async def test_keys_of_both_kinds_are_known(verifier: TokenVerifier) -> None:
    signed = jwt.encode(claims(), RSA_KEY, "RS256", headers={"kid": "rsa"})
    assert (await verifier.principal(signed)).tenant == "team-a"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exp": int(time.time()) - 600}, "has expired"),
        ({"exp": None}, "lacks the claim exp"),
        ({"sub": None}, "lacks the claim sub"),
        ({"sub": "x" * 256}, "subject is no name"),
        ({"aud": "other"}, "another audience"),
        ({"aud": None}, "lacks the claim aud"),
        ({"iss": "https://evil.example"}, "issuer that is not trusted"),
        ({"iss": None}, "issuer that is not trusted"),
        ({"nbf": int(time.time()) + 86_400}, "not valid yet"),
        ({"kid": "new"}, "key that its issuer does not have"),
        ({"kid": None}, "does not say which key"),
    ],
)
async def test_what_is_wrong_with_a_token_is_said(
    verifier: TokenVerifier, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(Unauthenticated, match=reason):
        await verifier.principal(token(**changes))


async def test_clocks_may_differ_a_little(verifier: TokenVerifier) -> None:
    await verifier.principal(token(exp=int(time.time()) - 20))
    await verifier.principal(token(nbf=int(time.time()) + 20))


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "HS256", "HS512", None, 5, ["ES256"]])
async def test_signatures_of_other_kinds_are_refused(verifier: TokenVerifier, algorithm: object) -> None:
    forged = by_hand({"alg": algorithm, "kid": "ec"}, claims(), lambda _: b"")
    with pytest.raises(Unauthenticated):
        await verifier.principal(forged)


@pytest.mark.parametrize("kid", ["rsa", "ec"])
async def test_a_public_key_is_no_secret(verifier: TokenVerifier, kid: str) -> None:
    key = RSA_KEY if kid == "rsa" else EC_KEY
    pem = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    forged = by_hand(
        {"alg": "HS256", "kid": kid}, claims(), lambda signed: hmac.digest(pem, signed, hashlib.sha256)
    )
    with pytest.raises(Unauthenticated, match="of a kind that is not accepted"):
        await verifier.principal(forged)


async def test_a_key_is_only_for_its_own_algorithm(verifier: TokenVerifier) -> None:
    signed = jwt.encode(claims(), EC_KEY, "ES256", headers={"kid": "rsa"})
    with pytest.raises(Unauthenticated, match="key that its issuer does not have"):
        await verifier.principal(signed)


async def test_a_token_that_was_changed_is_refused(verifier: TokenVerifier) -> None:
    head, _, signature = token().split(".")
    body = base64.urlsafe_b64encode(json.dumps(claims(org={"name": "team-b"})).encode()).rstrip(b"=").decode()
    with pytest.raises(Unauthenticated, match="is not valid"):
        await verifier.principal(f"{head}.{body}.{signature}")


@pytest.mark.parametrize("tenant", [None, {}, {"name": "not a name!"}, {"name": 5}, "team-a"])
async def test_a_token_without_a_tenant_may_nothing(verifier: TokenVerifier, tenant: object) -> None:
    with pytest.raises(Forbidden, match=r"org\.name"):
        await verifier.principal(token(org=tenant))


def segment(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


HEAD, BODY = segment(b'{"alg":"ES256","kid":"ec"}'), segment(json.dumps({"iss": ISSUER}).encode())


@pytest.mark.parametrize("nested", [b"[" * 2900, b'{"a":' * 1100, b"9" * 5800, b'{"iss":' + b"[" * 2900])
@pytest.mark.parametrize("place", ["head", "body"])
async def test_json_that_nobody_can_parse_is_no_token(
    verifier: TokenVerifier, nested: bytes, place: str
) -> None:
    head, body = (segment(nested), BODY) if place == "head" else (HEAD, segment(nested))
    assert len(head) + len(body) < MAX_TOKEN_CHARS
    with pytest.raises(Unauthenticated):
        await verifier.principal(f"{head}.{body}.AAAA")


@given(
    st.lists(
        st.binary(max_size=40).map(segment)
        | st.sampled_from([HEAD, BODY, "", segment(b"null"), segment(b'{"alg":"ES256","kid":[]}')])
        | st.text(max_size=8),
        min_size=1,
        max_size=4,
    ).map(".".join)
)
def test_whatever_is_shown_as_a_token_is_refused_as_one(text: str) -> None:
    with pytest.raises(Unauthenticated):
        asyncio.run(TokenVerifier([(CONFIG, Keys())]).principal(text))


@pytest.mark.parametrize(
    "header", [{"crit": ["exp"]}, {"b64": False}, {"jwk": {}}, {"jku": "https://evil.example"}, {"x5u": "u"}]
)
async def test_a_header_brings_no_key_and_changes_no_rule(
    verifier: TokenVerifier, header: dict[str, Any]
) -> None:
    """Whatever key a token brings or points to, only its issuer's published one counts."""
    stranger = ec.generate_private_key(ec.SECP256R1())
    forged = jwt.encode(claims(), stranger, "ES256", headers={"kid": "ec"} | header)
    with pytest.raises(Unauthenticated):
        await verifier.principal(forged)


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "..", "é" * 30, "a" * (MAX_TOKEN_CHARS + 1)])
async def test_what_is_no_token_is_refused_without_repeating_it(verifier: TokenVerifier, text: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        await verifier.principal(text)
    assert not text or text not in str(caught.value) or len(text) == 1
