"""A SessionStore over records: what is written is decided in `record`, that nothing gets lost here.

Records are kept in memory, in a file or in Redis; all of them do nothing but compare and set.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from serve_app.errors import Conflict, Unavailable
from serve_app.messages import JsonObject, RequestContext
from serve_app.sessions.base import Session, SessionInfo, SessionKey
from serve_app.sessions.record import Limits, appended, compacted

_STAGE = "session"
# A turn and a summary of one conversation meet at most once or twice; more is a fault of the store.
_MAX_WRITES = 8


class Records(Protocol):
    """Keeps encoded conversations. Expired ones are not there; nobody else sees them."""

    async def read(self, key: SessionKey) -> Session | None:
        """Raises Unavailable: it cannot be read, or holds what is none of ours."""
        ...

    async def write(self, key: SessionKey, session: Session, revision: int) -> bool:
        """Write it if the one that is there has that revision (0: there is none). Its time starts anew.

        Raises Unavailable: whether it was written is not known.
        """
        ...

    async def infos(self, tenant: str, user_id: str) -> list[SessionInfo]:
        """In any order. Raises as `read`."""
        ...

    async def delete(self, key: SessionKey) -> bool:
        """Whether it was there. Raises as `write`."""
        ...

    async def close(self) -> None: ...


class RecordedSessions:
    """A SessionStore. `now_s` is wall time: conversations outlive processes."""

    def __init__(self, records: Records, limits: Limits, now_s: Callable[[], float] = time.time) -> None:
        self._records = records
        self._limits = limits
        self._now_s = now_s

    async def load(self, key: SessionKey, context: RequestContext) -> Session:
        context.deadline.check(_STAGE)
        return await self._records.read(key) or Session()

    async def append(
        self, key: SessionKey, turns: Sequence[JsonObject], basis: Session, context: RequestContext
    ) -> Session:
        for _ in range(_MAX_WRITES):
            context.deadline.check(_STAGE)
            known = await self._records.read(key) or Session()
            if (known.version, known.created_at_s) != (basis.version, basis.created_at_s):
                raise Conflict(f"the session {key.session_id!r} has gone on in the meantime; ask again")
            session = appended(known, turns, self._limits, self._now_s())
            if await self._records.write(key, session, known.revision):
                return session
        raise Unavailable(f"the session {key.session_id!r} cannot be written: it changes all the time")

    async def compact(
        self, key: SessionKey, basis: Session, num_turns: int, summary: str, context: RequestContext
    ) -> bool:
        for _ in range(_MAX_WRITES):
            context.deadline.check(_STAGE)
            known = await self._records.read(key) or Session()
            session = compacted(known, basis, num_turns, summary)
            if session is None:
                return False
            if await self._records.write(key, session, known.revision):
                return True
        return False

    async def sessions(self, tenant: str, user_id: str, context: RequestContext) -> tuple[SessionInfo, ...]:
        context.deadline.check(_STAGE)
        found = await self._records.infos(tenant, user_id)
        return tuple(sorted(found, key=lambda info: (-info.updated_at_s, info.session_id)))

    async def delete(self, key: SessionKey, context: RequestContext) -> bool:
        context.deadline.check(_STAGE)
        return await self._records.delete(key)

    async def close(self) -> None:
        await self._records.close()


def info_of(session_id: str, session: Session) -> SessionInfo:
    num_messages = session.num_dropped + len(session.turns)
    return SessionInfo(session_id, num_messages, session.created_at_s, session.updated_at_s)
