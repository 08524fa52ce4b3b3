"""Who asks, by whichever way the configuration accepts."""

from __future__ import annotations

from serve_app.errors import Unauthenticated
from serve_app.identity.base import Principal, Role
from serve_app.identity.credentials import Credentials
from serve_app.identity.gateway import Gateway
from serve_app.identity.key_ring import KeyRing
from serve_app.identity.keys import PREFIX
from serve_app.identity.tokens import TokenVerifier

# Everybody, where the application is open: on loopback, where who can ask can do anything else, too.
ANONYMOUS = Principal("anonymous", "anonymous", tenant=None, role=Role.ADMIN)


class Authenticator:
    """The ways that are accepted; None: that one is not. Without any, everybody is let in as nobody."""

    def __init__(
        self,
        keys: KeyRing | None = None,
        tokens: TokenVerifier | None = None,
        gateway: Gateway | None = None,
    ) -> None:
        self._keys = keys
        self._tokens = tokens
        self._gateway = gateway
        self._is_open = keys is None and tokens is None and gateway is None

    async def principal(self, shown: Credentials) -> Principal:
        """Who asks. A gateway's proof counts before a key, which is then the gateway's own affair.

        Raises:
            Unauthenticated: nobody that we know.
            Unavailable: what would tell cannot be reached.
        """
        if self._is_open:
            return ANONYMOUS
        if shown.gateway and self._gateway is not None:
            return self._gateway.principal(shown.gateway)
        if not shown.bearer:
            raise Unauthenticated(self._how())
        if self._keys is not None and (self._tokens is None or shown.bearer.startswith(PREFIX)):
            return await self._keys.principal(shown.bearer)
        if self._tokens is not None:
            return await self._tokens.principal(shown.bearer)
        raise Unauthenticated(self._how())

    def _how(self) -> str:
        ways = [
            name
            for name, way in (("an API key", self._keys), ("a token of an issuer", self._tokens))
            if way is not None
        ]
        if not ways:
            return "requests are only taken from the gateway in front"
        return f"say who you are: send Authorization: Bearer with {' or '.join(ways)}"
