"""The contract of a session store: the turns of a conversation, written by compare-and-set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from serve_app.messages import JsonObject, RequestContext


@dataclass(frozen=True, slots=True)
class SessionKey:
    """Whose conversation. No two tenants, and no two users of one, share a session of the same id."""

    tenant: str
    user_id: str  # empty where the tenant's users are not told apart
    session_id: str


@dataclass(frozen=True, slots=True)
class Session:
    """A conversation up to now."""

    turns: tuple[JsonObject, ...]  # OpenAI messages, oldest first
    version: int  # grows by one with every write; 0: nothing was written yet


class SessionStore(Protocol):
    """Keeps conversations."""

    async def load(self, key: SessionKey, context: RequestContext) -> Session:
        """The conversation; without turns and of version 0 if there is none.

        Raises:
            Unavailable: the store cannot be read.
            DeadlineExceeded: the time was over.
        """
        ...

    async def append(
        self, key: SessionKey, turns: Sequence[JsonObject], version: int, context: RequestContext
    ) -> int:
        """Add turns to the conversation that was loaded as `version`; returns the new version.

        Raises:
            Conflict: somebody else has written since; nothing was added.
            Unavailable: the store cannot be written.
            DeadlineExceeded: the time was over.
        """
        ...
