"""What becomes of a conversation when something is written: pure, and the same in every store."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from serve_app.errors import StorageFull
from serve_app.messages import JsonObject
from serve_app.sessions.base import Session


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a conversation is kept."""

    max_messages: int
    max_bytes: int  # of the encoded messages
    drops_unsummarised: bool  # whether a message may go for which no summary stands


def appended(session: Session, turns: Sequence[JsonObject], limits: Limits, now_s: float) -> Session:
    """The session with messages more, and without the oldest where it would be too long.

    Raises:
        StorageFull: it would be too long, and the oldest may not go.
    """
    every = (*session.turns, *turns)
    num_gone = _num_over(every, limits)
    if num_gone > session.num_summarised and not limits.drops_unsummarised:
        raise StorageFull(
            f"the session is full: {len(session.recent())} messages of it could not be summarised yet; "
            "begin another one"
        )
    if num_gone > len(session.turns):
        raise StorageFull(f"one turn is longer than the {limits.max_bytes} bytes of a session")
    return replace(
        session,
        turns=every[num_gone:],
        version=session.version + 1,
        num_summarised=max(0, session.num_summarised - num_gone),
        num_dropped=session.num_dropped + num_gone,
        created_at_s=session.created_at_s or now_s,
        updated_at_s=now_s,
        # A number that no deleted conversation of this id has had.
        revision=session.revision + 1 if session.revision else max(1, round(now_s * 1e6)),
    )


def compacted(session: Session, basis: Session, num_turns: int, summary: str) -> Session | None:
    """The session with a summary of what were the first messages of `basis`; None if it is another by now."""
    is_same = session.version > 0 and session.created_at_s == basis.created_at_s
    if not is_same or _num_covered(session) != _num_covered(basis):
        return None
    # Counted from the conversation's beginning: messages may have been dropped since.
    num_summarised = max(0, basis.num_dropped + num_turns - session.num_dropped)
    return replace(session, summary=summary, num_summarised=num_summarised, revision=session.revision + 1)


def encode(session: Session) -> str:
    """As stores keep it. `decode` gives it back."""
    fields = {name: getattr(session, name) for name in Session.__slots__}
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))


def decode(document: str | bytes) -> Session:
    """The session of an encoded one.

    Raises:
        ValueError, KeyError, TypeError: it is none.
    """
    fields: dict[str, Any] = json.loads(document)
    session = Session(**{**fields, "turns": tuple(fields["turns"])})
    if not isinstance(session.version, int) or not all(isinstance(turn, dict) for turn in session.turns):
        raise ValueError("no session")
    return session


def _num_covered(session: Session) -> int:
    return session.num_dropped + session.num_summarised


def _num_over(turns: Sequence[JsonObject], limits: Limits) -> int:
    """Messages to drop from the front: whole turns, so that what stays begins with a question."""
    sizes = [len(json.dumps(turn, ensure_ascii=False).encode()) for turn in turns]
    total, num = sum(sizes), 0
    while num < len(turns) and (len(turns) - num > limits.max_messages or total > limits.max_bytes):
        total -= sizes[num]
        num += 1
        while num < len(turns) and turns[num].get("role") != "user":
            total -= sizes[num]
            num += 1
    return num
