"""/v1/sessions: the conversations of whoever asks, and of nobody else."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter, Request, Response

from serve_app.errors import NotFound
from serve_app.ingress.answers.answers import json_document
from serve_app.ingress.door.users import checked_session
from serve_app.ingress.requests.call import Call, CallReader
from serve_app.messages import JsonObject
from serve_app.sessions.base import Session, SessionInfo, SessionKey, SessionStore

_STAGE = "sessions"


def router(reader: CallReader, store: SessionStore | None) -> APIRouter:
    routes = APIRouter(prefix="/v1/sessions", tags=["sessions"])

    @routes.get("")
    async def list_sessions(request: Request) -> Response:
        """The asker's conversations, the one with the newest turn first."""
        call = reader.read_headers(request)
        context = call.context
        found = await call.run(_STAGE, _kept(store).sessions(context.tenant, call.user_id, context))
        return json_document({"object": "list", "data": [_shown(info) for info in found]})

    @routes.get("/{session_id}")
    async def read(request: Request, session_id: str) -> Response:
        """What was said in one of them, as far as it is kept."""
        call = reader.read_headers(request)
        session = await call.run(_STAGE, _kept(store).load(_key(call, session_id), call.context))
        if session.version == 0:
            raise _not_there(session_id)
        return json_document(_whole(session_id, session))

    @routes.delete("/{session_id}")
    async def delete(request: Request, session_id: str) -> Response:
        """Forget one of them."""
        call = reader.read_headers(request)
        if not await call.run(_STAGE, _kept(store).delete(_key(call, session_id), call.context)):
            raise _not_there(session_id)
        return json_document({"object": "session.deleted", "id": session_id, "deleted": True})

    return routes


def _kept(store: SessionStore | None) -> SessionStore:
    if store is None:
        raise NotFound("no sessions are kept here: configure `sessions`")
    return store


def _key(call: Call, session_id: str) -> SessionKey:
    return SessionKey(call.context.tenant, call.user_id, checked_session(session_id, "session"))


def _not_there(session_id: str) -> NotFound:
    return NotFound(f"there is no session {session_id!r}")


def _shown(info: SessionInfo) -> JsonObject:
    return {
        "id": info.session_id,
        "object": "session",
        "num_messages": info.num_messages,
        "created_at": _time(info.created_at_s),
        "updated_at": _time(info.updated_at_s),
    }


def _whole(session_id: str, session: Session) -> JsonObject:
    num_messages = session.num_dropped + len(session.turns)
    info = SessionInfo(session_id, num_messages, session.created_at_s, session.updated_at_s)
    return _shown(info) | {
        "num_dropped": session.num_dropped,
        "summary": session.summary or None,
        "num_summarised": session.num_dropped + session.num_summarised,
        "messages": list(session.turns),
    }


def _time(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds")
