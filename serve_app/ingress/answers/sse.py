"""Server-sent events as a response: an early error has its true status, a late one is told as an
event, and a client that leaves closes the source at once.

Starlette's own StreamingResponse sends its status before the first event exists, and leaves an
async generator to the garbage collector when the client goes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping

from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from serve_app.errors import EngineFailed, MantaError
from serve_app.ingress.closing import Closing
from serve_app.ingress.edge import body_send_of, closing_of, id_of, internal_error, log_failure
from serve_app.ingress.requests.connection import while_connected, within_deadline
from serve_app.messages import Deadline
from serve_app.openai_api.responses import error_body, event
from serve_app.streams import close

logger = logging.getLogger("manta.ingress")

PING = b": ping\n\n"  # a comment: clients skip it, proxies see life
PING_EVERY_S = 15.0
# For the last frame, when the deadline may be over and the client may have stopped reading long ago.
LAST_FRAME_TIMEOUT_S = 5.0


class EventStream(StreamingResponse):
    """A response of frames, each of which is one or several whole events.

    Args:
        frames: closed when the response is over, however it ends.
        deadline: the response ends with an error event when it is over.
        stage: what the deadline's error names.
        error_event: name of the event that tells a late error; OpenAI's streams have no names.
        ping_every_s: pings after so much silence; None: never.
        told: headers that are complete when the first frame is there.
    """

    def __init__(
        self,
        frames: AsyncIterator[bytes],
        deadline: Deadline,
        stage: str,
        *,
        error_event: str | None = None,
        ping_every_s: float | None = None,
        told: Mapping[str, str] | None = None,
    ) -> None:
        headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
        super().__init__(frames, headers=headers, media_type="text/event-stream")
        self._frames = frames
        self._deadline = deadline
        self._stage = stage
        self._error_event = error_event
        self._ping_every_s = ping_every_s
        self._told = told
        self._sent_s = 0.0  # when the last frame left, on the loop's clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it all.

        Raises:
            MantaError: there was not even a first frame; nothing was sent.
            ClientDisconnect: the client left.
        """
        await while_connected(receive, self._run(id_of(scope), send, body_send_of(scope), closing_of(scope)))

    async def _run(self, own_id: str, start: Send, send: Send, closing: Closing) -> None:
        pinging: asyncio.Task[None] | None = None
        try:
            with closing.running():
                first = await within_deadline(self._deadline, self._stage, self._first())
            if self._told:
                self.headers.update(self._told)
            await start({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            if self._ping_every_s is not None:
                pinging = asyncio.create_task(self._ping(send, self._ping_every_s))
            last = await self._rest(own_id, first, send, closing)
        finally:
            if pinging is not None:
                pinging.cancel()
                await asyncio.gather(pinging, return_exceptions=True)
            await close(self._frames)
        await self._finish(last, send)

    async def _first(self) -> bytes:
        try:
            return await anext(self._frames)
        except StopAsyncIteration as exc:
            raise EngineFailed(f"{self._stage} ended without an answer") from exc

    async def _rest(self, own_id: str, first: bytes, send: Send, closing: Closing) -> bytes:
        """Send the frames; the error event that must end the response, or nothing."""
        try:
            with closing.running():
                await within_deadline(self._deadline, self._stage, self._send_frames(first, send))
        except MantaError as exc:
            log_failure(exc, own_id)
            return event(error_body(exc), self._error_event)
        except Exception:
            # The status is gone, so this is the outermost place that can still tell the client.
            logger.exception("request %s: the stream of %s failed", own_id, self._stage)
            return event(internal_error(own_id), self._error_event)
        return b""

    async def _finish(self, last: bytes, send: Send) -> None:
        try:
            async with asyncio.timeout(LAST_FRAME_TIMEOUT_S):
                await send({"type": "http.response.body", "body": last, "more_body": False})
        except TimeoutError as exc:  # the server cuts the connection of a response that has no end
            raise ClientDisconnect from exc

    async def _send_frames(self, first: bytes, send: Send) -> None:
        clock = asyncio.get_running_loop().time
        await send({"type": "http.response.body", "body": first, "more_body": True})
        self._sent_s = clock()
        async for frame in self._frames:
            await send({"type": "http.response.body", "body": frame, "more_body": True})
            self._sent_s = clock()

    async def _ping(self, send: Send, every_s: float) -> None:
        clock = asyncio.get_running_loop().time
        self._sent_s = clock()
        while True:
            await asyncio.sleep(self._sent_s + every_s - clock())
            if clock() >= self._sent_s + every_s:
                await send({"type": "http.response.body", "body": PING, "more_body": True})
                self._sent_s = clock()
