"""API keys: what they look like, how they are made and checked.

A key is `manta_ID_SECRET` in base32: 10 characters that may be shown and are looked up, and 52 of the secret, which
are 256 random bits. Bits that nobody can guess need no slow hash (that is for passwords, which people choose): one
SHA-256 with a salt of its own keeps a stolen store from being searched for equal or known keys.

Knows nothing of where keys are kept.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field

from configs.schema import LimitsConfig
from serve_app.errors import Unauthenticated
from serve_app.identity.base import KeyRecord, Principal, Role

PREFIX = "manta_"
_KEY = re.compile(r"manta_([a-z2-7]{10})_([a-z2-7]{52})", re.ASCII)
_SALT_BYTES = 16


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key at its birth, the only time that it is known whole."""

    key: str = field(repr=False)
    record: KeyRecord


def make_key(
    name: str,
    tenant: str,
    role: Role,
    now_s: float,
    *,
    expires_at_s: float | None = None,
    limits: LimitsConfig | None = None,
) -> NewKey:
    key_id = _base32(secrets.token_bytes(10))[:10]
    secret = _base32(secrets.token_bytes(32))
    salt = secrets.token_bytes(_SALT_BYTES)
    record = KeyRecord(
        id=key_id,
        name=name,
        tenant=tenant,
        role=role,
        salt=salt,
        digest=_digest(salt, secret),
        created_at_s=now_s,
        expires_at_s=expires_at_s,
        limits=limits,
    )
    return NewKey(f"{PREFIX}{key_id}_{secret}", record)


def parse_key(given: str) -> tuple[str, str] | None:
    """Id and secret; None: it is no key of ours, which takes no store to know."""
    match = _KEY.fullmatch(given)
    return (match[1], match[2]) if match else None


def check_key(secret: str, record: KeyRecord | None, now_s: float) -> Principal:
    """Whose key it is. Takes as long for an id that nobody has as for a wrong secret.

    Raises:
        Unauthenticated: it is not valid; why is said only to who has the secret.
    """
    known = record if record is not None else _NOBODY
    is_right = hmac.compare_digest(_digest(known.salt, secret), known.digest)
    if record is None or not is_right:
        raise Unauthenticated("this API key is not valid")
    if record.revoked_at_s is not None:
        raise Unauthenticated(f"the API key {shown(record.id)} was revoked")
    if record.expires_at_s is not None and now_s >= record.expires_at_s:
        raise Unauthenticated(f"the API key {shown(record.id)} has expired")
    return Principal("key", record.id, record.tenant, record.role, record.limits)


def shown(key_id: str) -> str:
    """A key as it may be written down."""
    return f"{PREFIX}{key_id}_..."


def _digest(salt: bytes, secret: str) -> bytes:
    return hashlib.sha256(salt + secret.encode()).digest()


def _base32(raw: bytes) -> str:
    return base64.b32encode(raw).decode().rstrip("=").lower()


_NOBODY = make_key("nobody", "nobody", Role.USER, 0.0).record
