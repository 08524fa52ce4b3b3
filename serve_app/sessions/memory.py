"""Sessions in this process's memory: gone when it ends, unknown to other replicas."""

from __future__ import annotations

from collections.abc import Sequence

from serve_app.errors import Conflict
from serve_app.messages import JsonObject, RequestContext
from serve_app.sessions.base import Session, SessionKey

_NEW = Session((), 0)


class MemorySessions:
    """A SessionStore of at most `max_sessions` conversations; the one written least recently goes first."""

    def __init__(self, max_sessions: int = 10_000) -> None:
        self._max_sessions = max_sessions
        self._sessions: dict[SessionKey, Session] = {}  # least recently written first

    async def load(self, key: SessionKey, context: RequestContext) -> Session:
        context.deadline.check("session")
        return self._sessions.get(key, _NEW)

    async def append(
        self, key: SessionKey, turns: Sequence[JsonObject], version: int, context: RequestContext
    ) -> int:
        context.deadline.check("session")
        known = self._sessions.get(key, _NEW)
        if known.version != version:
            raise Conflict(f"the session {key.session_id!r} has gone on in the meantime; ask again")
        self._sessions.pop(key, None)
        while len(self._sessions) >= self._max_sessions:
            del self._sessions[next(iter(self._sessions))]
        self._sessions[key] = Session((*known.turns, *turns), version + 1)
        return version + 1
