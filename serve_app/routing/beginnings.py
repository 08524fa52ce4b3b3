"""What a prompt begins with, as short names that two prompts share as far as they are the same. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from serve_app.messages import JsonObject, RequestContext
from serve_app.routing.texts import Said, prompt_texts

Affinity = Literal["none", "session", "prefix"]

# A name for each so many characters of a text, and for its end: a question about a document begins as the one before.
BLOCK_CHARS = 1024
# Of one prompt; of what is longer the end has none.
MAX_NAMES = 256
_BYTES = 16


@dataclass(frozen=True, slots=True)
class Beginnings:
    """Of one prompt.

    Args:
        names: from the shortest beginning to the whole prompt; at least one.
        home: that of them which all turns of a conversation have, and other conversations have not.
    """

    names: tuple[bytes, ...]
    home: bytes


def beginnings(body: JsonObject, context: RequestContext, affinity: Affinity) -> Beginnings | None:
    """None: there is nothing to go by. Two tenants never share a name."""
    if affinity == "prefix":
        return _of_texts(prompt_texts(body), context.tenant)
    if affinity == "none":
        return None
    # Of OpenAI's own two the second is the older.
    session = context.session or body.get("prompt_cache_key") or body.get("user")
    if not isinstance(session, str) or not session:
        return None
    return _of_texts([Said(session, by_user=True)], context.tenant, num_chars=len(session))


def _of_texts(texts: Sequence[Said], tenant: str, *, num_chars: int = BLOCK_CHARS) -> Beginnings | None:
    state = hashlib.blake2b(tenant.encode(), digest_size=_BYTES)
    names: list[bytes] = []
    home: bytes | None = None
    for text, by_user in texts:
        state.update(b"\x1f")
        for start in range(0, len(text), num_chars):
            state.update(text[start : start + num_chars].encode("utf-8", "surrogatepass"))
            names.append(state.copy().digest())
            if by_user and home is None:
                home = names[-1]
            if len(names) == MAX_NAMES:
                return Beginnings(tuple(names), home or names[0])
    return Beginnings(tuple(names), home or names[0]) if names else None
