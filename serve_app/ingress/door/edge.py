"""ASGI middleware around the routes, inside the edge: nobody gets past it who is not let in by the door."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from serve_app.errors import MantaError
from serve_app.ingress.door.door import Door
from serve_app.ingress.edge import body_send_of, error_response, id_of, send_bodies_by


class DoorEdge:
    """Takes each request through the door, and sees it off."""

    def __init__(self, app: ASGIApp, *, door: Door) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        door = self._door
        visit = door.visit()
        watched = visit.watching(send, body_send_of(scope))
        try:
            try:
                await door.enter(visit, scope)
            except MantaError as exc:
                await error_response(exc, id_of(scope))(scope, receive, watched)
                return
            if not visit.is_public:
                send_bodies_by(scope, watched)
            await self._app(scope, receive, send if visit.is_public else watched)
        finally:
            door.leave(visit)
            door.write_down(visit, scope, id_of(scope))
