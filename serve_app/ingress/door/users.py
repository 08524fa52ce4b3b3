"""Which user of a tenant asks: sessions are theirs alone.

A key, or a token's subject, is somebody; `x-manta-user` names one of the users that stand behind them, as a gateway or
a backend does. So nobody reaches another key's users by naming them.
"""

from __future__ import annotations

import re

from starlette.datastructures import Headers

from serve_app.errors import BadRequest
from serve_app.identity.base import Principal

USER = "x-manta-user"
_SANE_USER = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,126}[\x21-\x7e])?")
_SEPARATOR = "\x1f"  # no header holds it
SANE_SESSION = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$"
_SESSION = re.compile(SANE_SESSION)


def read_user(headers: Headers, who: Principal | None) -> str:
    """The user's id in its tenant; empty where nobody says who it is.

    Raises:
        BadRequest: the header holds no name.
    """
    given = headers.getlist(USER)
    if len(given) > 1 or (given and not _SANE_USER.fullmatch(given[0])):
        raise BadRequest(f"the header {USER} holds one name of at most 128 printable characters", USER)
    named = given[0] if given else ""
    if who is None or who.kind not in ("key", "token"):
        return named
    return f"{who.kind}:{who.id}{_SEPARATOR}{named}"


def checked_session(session_id: str, param: str) -> str:
    """The id.

    Raises:
        BadRequest: it is none.
    """
    if not _SESSION.fullmatch(session_id):
        raise BadRequest(
            "a session's id has at most 128 letters, digits and . _ : -, the first a letter or digit", param
        )
    return session_id
