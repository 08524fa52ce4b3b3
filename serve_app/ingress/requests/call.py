"""One request as the routes see it: its context, its body, and whether its client is still there."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.types import Receive

from configs.schema import IngressConfig
from serve_app.ingress.closing import Closing
from serve_app.ingress.door.door import Door, visit_of
from serve_app.ingress.door.users import read_user
from serve_app.ingress.edge import closing_of, id_of
from serve_app.ingress.requests.body import read_json
from serve_app.ingress.requests.connection import while_connected, within_deadline
from serve_app.ingress.requests.context import read_context
from serve_app.ingress.requests.multipart import read_files
from serve_app.messages import DocumentInput, JsonObject, RequestContext

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """A request that was read. `body` is empty for those that have none."""

    context: RequestContext
    body: JsonObject
    receive: Receive
    closing: Closing
    user_id: str = ""  # of the tenant's; sessions are by user

    async def run(self, stage: str, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, unless the client leaves, the deadline passes or this replica ends.

        Raises:
            ClientDisconnect, DeadlineExceeded, Unavailable: `work` was cancelled.
        """
        return await while_connected(self.receive, self._run(stage, work))

    async def _run(self, stage: str, work: Coroutine[Any, Any, T]) -> T:
        with self.closing.running():
            return await within_deadline(self.context.deadline, stage, work)


class CallReader:
    """Reads requests by the limits of one configuration, and takes them through the door, if there is one."""

    def __init__(self, config: IngressConfig, door: Door | None = None) -> None:
        self._config = config
        self._door = door

    @property
    def knows_callers(self) -> bool:
        """Whether whoever asks is asked who they are."""
        return self._door is not None and self._door.authenticates

    async def read(self, request: Request, counted: Callable[[JsonObject], JsonObject] | None = None) -> Call:
        """Headers and body. Reading counts against the request's own deadline.

        Args:
            counted: what of the body the door counts, where that is not the body itself.

        Raises:
            BadRequest, BodyTooLarge: the request cannot be used.
            Forbidden, LimitReached: whoever asks may not, or not now.
            DeadlineExceeded: the body did not come in time.
            ClientDisconnect: it will never come.
        """
        context = self._context(request)
        reading = read_json(request, self._config.max_body_bytes)
        body = await within_deadline(context.deadline, "reading the body", reading)
        if self._door is not None:
            await self._door.admit(request.scope, context, body if counted is None else counted(body))
        return Call(context, body, request.receive, closing_of(request.scope), self._user(request))

    async def read_files(self, request: Request) -> tuple[Call, str, list[DocumentInput]]:
        """Headers and files: the call, their source, and a document each. Raises as `read`."""
        context = self._context(request)
        reading = read_files(request, self._config.max_body_bytes)
        source, documents = await within_deadline(context.deadline, "reading the body", reading)
        if self._door is not None:
            await self._door.admit(request.scope, context, {})
        return Call(context, {}, request.receive, closing_of(request.scope)), source, documents

    def read_headers(self, request: Request) -> Call:
        """For requests without a body."""
        context = self._context(request)
        return Call(context, {}, request.receive, closing_of(request.scope), self._user(request))

    def _user(self, request: Request) -> str:
        return read_user(request.headers, None if self._door is None else visit_of(request.scope).principal)

    def _context(self, request: Request) -> RequestContext:
        own_id = id_of(request.scope)
        if self._door is None:
            return read_context(request.headers, own_id, self._config)
        return self._door.context(request.scope, request.headers, own_id, self._config)
