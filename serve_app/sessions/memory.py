"""Sessions in this process's memory: gone when it ends, unknown to other replicas. For tests and demonstrations."""

from __future__ import annotations

import time
from collections.abc import Callable

from serve_app.sessions.base import Session, SessionInfo, SessionKey
from serve_app.sessions.record import Limits
from serve_app.sessions.store import RecordedSessions, info_of


class MemoryRecords:
    """Records in a dictionary."""

    def __init__(self, ttl_s: float, max_per_user: int, now_s: Callable[[], float] = time.time) -> None:
        self._ttl_s = ttl_s
        self._max_per_user = max_per_user
        self._now_s = now_s
        # Least recently written first, with the time at which each expires.
        self._sessions: dict[SessionKey, tuple[Session, float]] = {}

    async def read(self, key: SessionKey) -> Session | None:
        self._forget_expired()
        found = self._sessions.get(key)
        return None if found is None else found[0]

    async def write(self, key: SessionKey, session: Session, revision: int) -> bool:
        self._forget_expired()
        known = self._sessions.get(key)
        if (0 if known is None else known[0].revision) != revision:
            return False
        self._sessions.pop(key, None)
        self._sessions[key] = session, self._now_s() + self._ttl_s
        own = [one for one in self._sessions if (one.tenant, one.user_id) == (key.tenant, key.user_id)]
        for one in own[: -self._max_per_user]:
            del self._sessions[one]
        return True

    async def infos(self, tenant: str, user_id: str) -> list[SessionInfo]:
        self._forget_expired()
        return [
            info_of(key.session_id, session)
            for key, (session, _) in self._sessions.items()
            if (key.tenant, key.user_id) == (tenant, user_id)
        ]

    async def delete(self, key: SessionKey) -> bool:
        self._forget_expired()
        return self._sessions.pop(key, None) is not None

    async def close(self) -> None:
        """There is nothing to let go of."""

    def _forget_expired(self) -> None:
        now_s = self._now_s()
        for key in [key for key, (_, at_s) in self._sessions.items() if at_s <= now_s]:
            del self._sessions[key]


class MemorySessions(RecordedSessions):
    """A SessionStore in memory."""

    def __init__(
        self,
        limits: Limits = Limits(400, 262_144, drops_unsummarised=True),  # noqa: B008 (frozen)
        ttl_s: float = 86_400.0,
        max_per_user: int = 100,
    ) -> None:
        super().__init__(MemoryRecords(ttl_s, max_per_user), limits)
