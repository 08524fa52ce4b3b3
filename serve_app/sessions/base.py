"""The contract of a session store: the messages of a conversation, written by compare-and-set.

Knows nothing of models, HTTP or where records are kept.
"""

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
    """A conversation up to now. Times are Unix seconds: conversations outlive processes."""

    turns: tuple[JsonObject, ...] = ()  # OpenAI messages that are kept, oldest first
    version: int = 0  # grows by one with every turn; 0: nothing was written yet
    summary: str = ""  # of all that was said before turns[num_summarised]
    num_summarised: int = 0  # of `turns`, from the front
    num_dropped: int = 0  # messages before `turns` that are not kept any more
    created_at_s: float = 0.0  # tells it from a deleted one of the same id
    updated_at_s: float = 0.0
    revision: int = 0  # grows with every write, summaries included

    def recent(self) -> tuple[JsonObject, ...]:
        """The messages that no summary stands for."""
        return self.turns[self.num_summarised :]


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A conversation without what was said."""

    session_id: str
    num_messages: int  # kept and dropped
    created_at_s: float
    updated_at_s: float


class SessionStore(Protocol):
    """Keeps conversations."""

    async def load(self, key: SessionKey, context: RequestContext) -> Session:
        """The conversation; an empty one of version 0 if there is none.

        Raises:
            Unavailable: the store cannot be read.
            DeadlineExceeded: the time was over.
        """
        ...

    async def append(
        self, key: SessionKey, turns: Sequence[JsonObject], basis: Session, context: RequestContext
    ) -> Session:
        """The conversation with messages added to what was loaded as `basis`.

        Raises:
            Conflict: somebody else has written or deleted since; nothing was added.
            StorageFull: it is as long as it may be, and no part of it may be dropped yet.
            Unavailable: the store cannot be written.
            DeadlineExceeded: the time was over.
        """
        ...

    async def compact(
        self, key: SessionKey, basis: Session, num_turns: int, summary: str, context: RequestContext
    ) -> bool:
        """Let `summary` stand for the first `num_turns` messages of `basis`, and for the summary that it had.

        Turns that were added meanwhile stay, and a turn that is under way is not in conflict with this. False:
        the conversation was deleted, or summarised by somebody else. Raises as `append`.
        """
        ...

    async def sessions(self, tenant: str, user_id: str, context: RequestContext) -> tuple[SessionInfo, ...]:
        """The user's conversations, the one with the newest turn first. Raises as `load`."""
        ...

    async def delete(self, key: SessionKey, context: RequestContext) -> bool:
        """Forget it; False if there was none. Raises as `append`."""
        ...

    async def close(self) -> None:
        """Let go of what it holds."""
        ...
