"""Answers that go through the steps of `serve_app.front`, where some are configured, and all answers of agents."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from starlette.requests import Request
from starlette.responses import Response

from serve_app.errors import EngineFailed
from serve_app.front.base import Ask, Front, Source
from serve_app.ingress.answers.answers import json_bytes
from serve_app.ingress.answers.sse import EventStream
from serve_app.ingress.door.door import visit_if_any
from serve_app.ingress.requests.call import Call
from serve_app.ingress.services import Services
from serve_app.messages import Endpoint
from serve_app.streams import close


def ask_of(request: Request, call: Call, name: str, kind: str, *, is_stream: bool) -> Ask:
    """The request as the steps see it; the door, if there is one, learns who answered."""
    ask = Ask(name, kind, call.body, call.context, is_stream, request.headers)
    visit = visit_if_any(request.scope)
    if visit is not None:
        visit.served = ask.served
    return ask


async def answer_through(
    front: Front | None,
    ask: Ask,
    source: Source,
    call: Call,
    *,
    ping_every_s: float | None = None,
    error_event: str | None = None,
) -> Response:
    """The answer, with what the steps tell about it in its headers."""
    frames = source(ask) if front is None else front.frames(ask, source)
    if ask.is_stream:
        return EventStream(
            frames,
            ask.context.deadline,
            ask.name,
            ping_every_s=ping_every_s,
            error_event=error_event,
            told=ask.told,
        )
    response = json_bytes(await call.run(ask.name, _whole(frames, ask.name)))
    response.headers.update(ask.told)
    return response


def models_source(services: Services) -> Source:
    """Asks the model that is named, as the plain path does."""

    async def document(ask: Ask) -> AsyncGenerator[bytes]:
        answer = services.models[ask.name].respond(Endpoint(ask.kind), ask.body, ask.context)
        yield await services.waking(ask.name, answer)

    def frames(ask: Ask) -> AsyncGenerator[bytes]:
        if not ask.is_stream:
            return document(ask)
        stream = services.models[ask.name].stream(Endpoint(ask.kind), ask.body, ask.context)
        waking = services.waking_stream(ask.name, stream)
        # As it is where that can be: a generator in between takes its time for each token.
        return waking if isinstance(waking, AsyncGenerator) else _closing(waking)

    return frames


async def _closing(stream: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    try:
        async for frame in stream:
            yield frame
    finally:
        await close(stream)


async def _whole(frames: AsyncGenerator[bytes], name: str) -> bytes:
    """The one frame that a document is."""
    async with aclosing(frames):
        async for frame in frames:
            return frame
    raise EngineFailed(f"{name} ended without an answer")
