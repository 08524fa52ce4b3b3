"""A gateway in front that proves itself by a shared secret. Knows nothing of where the secret is kept."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from serve_app.errors import Unauthenticated
from serve_app.identity.base import Principal, Role

_GATEWAY = Principal("gateway", "gateway", tenant=None, role=Role.USER)


class Gateway:
    """Whoever sends one of the secrets speaks for any tenant."""

    def __init__(self, secrets: Sequence[str]) -> None:
        if not secrets:
            raise ValueError("a gateway without a secret")
        self._secrets = tuple(secret.encode() for secret in secrets)

    def principal(self, given: str) -> Principal:
        """Raises Unauthenticated if it is none of the secrets; all are compared, whichever is right."""
        raw = given.encode("latin-1", "replace")
        is_right = [hmac.compare_digest(raw, secret) for secret in self._secrets]
        if not any(is_right):
            raise Unauthenticated("the gateway does not prove itself: x-manta-gateway is wrong")
        return _GATEWAY
