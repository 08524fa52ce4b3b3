"""What a request shows to say who asks. Reads it, believes nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote_plus

from serve_app.errors import BadRequest, Unauthenticated
from serve_app.identity.keys import PREFIX

MAX_CREDENTIAL_CHARS = 8192
_PARAMETERS = frozenset({"key", "api_key", "api-key", "apikey", "access_token", "token", "authorization"})
_KEY_ANYWHERE = re.compile(re.escape(PREFIX) + "[a-z2-7]{10}_")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What was shown; empty where nothing was."""

    bearer: str = field(default="", repr=False)  # an API key or a token
    gateway: str = field(default="", repr=False)  # what proves a gateway


def read_credentials(headers: Sequence[tuple[bytes, bytes]]) -> Credentials:
    """From a request's headers, names in lower case.

    `Authorization: Bearer ...` is OpenAI's way, `x-api-key` Anthropic's and `api-key` Azure's.

    Raises:
        Unauthenticated: what is shown is ambiguous or of another kind.
    """
    bearer = gateway = b""
    num_bearers = num_gateways = 0
    for name, value in headers:
        if name == b"authorization":
            scheme, _, rest = value.partition(b" ")
            if scheme.lower() != b"bearer":
                raise Unauthenticated("the Authorization header must be: Bearer, and an API key or token")
            bearer, num_bearers = rest.strip(), num_bearers + 1
        elif name in (b"x-api-key", b"api-key"):
            bearer, num_bearers = value.strip(), num_bearers + 1
        elif name == b"x-manta-gateway":
            gateway, num_gateways = value.strip(), num_gateways + 1
    if num_bearers > 1 or num_gateways > 1:
        raise Unauthenticated("several credentials were sent; send one")
    if len(bearer) > MAX_CREDENTIAL_CHARS or len(gateway) > MAX_CREDENTIAL_CHARS:
        raise Unauthenticated(f"the credential is longer than {MAX_CREDENTIAL_CHARS} characters")
    return Credentials(bearer.decode("latin-1"), gateway.decode("latin-1"))


def refuse_in_url(path: str, query: bytes) -> None:
    """URLs are written into logs and histories everywhere, so a key in one is refused even if it is good.

    Raises:
        BadRequest: there is one. It says so without repeating it.
    """
    if not query and PREFIX not in path:
        return
    text = query.decode("latin-1")
    names = {name.lower() for name, _ in parse_qsl(text, keep_blank_values=True)}
    if names & _PARAMETERS or _KEY_ANYWHERE.search(unquote_plus(text)) or _KEY_ANYWHERE.search(path):
        raise BadRequest(
            "credentials do not belong into the URL, which is written into logs: send Authorization: Bearer, and "
            "revoke what was sent",
            "url",
        )
