"""Tokens (JWT) of configured issuers. The signature is PyJWT's business, what is trusted is ours.

Only asymmetric algorithms, only those that the configuration lists, only keys that the issuer publishes under the
token's `kid` and for that algorithm (RFC 8725, JSON Web Token Best Current Practices, 3.1 and 3.2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import jwt
from pydantic import TypeAdapter, ValidationError

from configs.schema import Name, OidcConfig
from serve_app.errors import Forbidden, Unauthenticated
from serve_app.identity.base import Principal, Role
from serve_app.identity.jwks import Jwk

MAX_TOKEN_CHARS = 8192
_TENANT: TypeAdapter[str] = TypeAdapter(Name)
_MAX_SUBJECT_CHARS = 255  # OpenID Connect Core 1.0, 2: `sub`


class KeySource(Protocol):
    """Public keys by id."""

    async def key(self, kid: str) -> Jwk | None: ...


class TokenVerifier:
    """Checks tokens of the issuers that it is given, with the source of each one's keys."""

    def __init__(self, issuers: Sequence[tuple[OidcConfig, KeySource]]) -> None:
        self._issuers = {config.issuer: (config, keys) for config, keys in issuers}

    async def principal(self, token: str) -> Principal:
        """Whom the token is about.

        Raises:
            Unauthenticated: it is not valid; the reason helps its owner, and shows nothing of it.
            Forbidden: it is valid, and names no tenant.
            Unavailable: its issuer's keys cannot be had.
        """
        if len(token) > MAX_TOKEN_CHARS:
            raise Unauthenticated(f"the token is longer than {MAX_TOKEN_CHARS} characters")
        header, config, keys = self._unverified(token)
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm not in config.algorithms:
            raise Unauthenticated("the token's signature is of a kind that is not accepted")
        if not isinstance(kid, str):
            raise Unauthenticated("the token does not say which key has signed it (kid)")
        key = await keys.key(kid)
        if key is None or key.get("alg", algorithm) != algorithm:
            raise Unauthenticated("the token is signed by a key that its issuer does not have")
        return _principal(_verified(token, key, algorithm, config), config)

    def _unverified(self, token: str) -> tuple[dict[str, Any], OidcConfig, KeySource]:
        try:
            header = jwt.get_unverified_header(token)
            claims = jwt.decode(token, options={"verify_signature": False})
        # JSON may be nested deeper than its parser can go.
        except (jwt.PyJWTError, RecursionError) as exc:
            raise Unauthenticated("the token is no JWT") from exc
        issuer = claims.get("iss")
        found = self._issuers.get(issuer) if isinstance(issuer, str) else None
        if found is None:
            raise Unauthenticated("the token is of an issuer that is not trusted")
        return header, *found


def _verified(token: str, key: Jwk, algorithm: str, config: OidcConfig) -> dict[str, Any]:
    try:
        return jwt.decode(
            token,
            jwt.PyJWK(dict(key), algorithm),
            algorithms=[algorithm],  # one of config.algorithms, see above
            audience=config.audience,
            issuer=config.issuer,
            leeway=config.leeway_s,
            options={"require": ["exp", "iss", "aud", "sub"]},
        )
    except jwt.ExpiredSignatureError as exc:
        raise Unauthenticated("the token has expired") from exc
    except jwt.ImmatureSignatureError as exc:
        raise Unauthenticated("the token is not valid yet") from exc
    except jwt.InvalidAudienceError as exc:
        raise Unauthenticated("the token is for another audience") from exc
    except jwt.MissingRequiredClaimError as exc:
        raise Unauthenticated(f"the token lacks the claim {exc.claim}") from exc
    except jwt.PyJWTError as exc:
        raise Unauthenticated("the token is not valid") from exc


def _principal(claims: Mapping[str, Any], config: OidcConfig) -> Principal:
    subject = claims["sub"]
    if not subject or len(subject) > _MAX_SUBJECT_CHARS:
        raise Unauthenticated("the token's subject is no name")
    try:
        tenant = _TENANT.validate_python(_claim(claims, config.tenant_claim))
    except ValidationError as exc:
        raise Forbidden(f"the token names no tenant in its claim {config.tenant_claim}") from exc
    return Principal("token", f"{config.issuer}#{subject}", tenant, _role(claims, config))


def _role(claims: Mapping[str, Any], config: OidcConfig) -> Role:
    said = _claim(claims, config.role_claim)
    names = said if isinstance(said, list) else [said]
    roles = [
        Role.named(config.roles[name]) for name in names if isinstance(name, str) and name in config.roles
    ]
    return max(roles, default=Role.USER)


def _claim(claims: Mapping[str, Any], path: str) -> object:
    """The claim of that whole name (URLs have dots, too), else what the dots lead to; None: neither."""
    if path in claims:
        return claims[path]
    node: object = claims
    for part in path.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    return node
