"""What is asked for by the channel: a stream of a deployment's method.

It travels in a call, pickled by Serve, or, where it is a model's, as JSON by a connection that is there already: what
comes by the channel is never unpickled.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from serve_app.channel.address import ReplyTo
from serve_app.messages import Deadline, Endpoint, JsonObject, Priority, RequestContext

# Longer ones have a call each: what they cost is not the call.
MAX_ASK_BYTES = 64 << 10


class Route(Protocol):
    """What who asks and the router of the same process tell each other of replicas."""

    def is_silent(self, replica: str) -> bool:
        """Whether it is to be left out, because it does not answer."""

    def goes_to(self, replica: str | None) -> None:
        """The call is sent there; None: nowhere yet, or not any more."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One stream."""

    args: tuple[Any, ...]  # of the method, before its context
    context: RequestContext
    reply_to: ReplyTo
    route: Route | None = None  # stays in the caller's process

    def __reduce__(self) -> tuple[type[Asked], tuple[Any, ...]]:
        return Asked, (self.args, self.context, self.reply_to)


class _Written(msgspec.Struct, array_like=True):
    """A model's stream on the wire; the fields of a RequestContext with the time that remains."""

    endpoint: Endpoint
    body: JsonObject
    request_id: str
    tenant: str
    remaining_s: float
    priority: Priority
    traceparent: str | None
    weight: float | None


_decoder = msgspec.json.Decoder(_Written)


def encode(asked: Asked) -> bytes | None:
    """For the other side's `decode`; None if it is no model's stream, or cannot be written so."""
    match asked.args:
        case (Endpoint() as endpoint, dict() as body):
            context = asked.context
        case _:
            return None
    remaining_s = context.deadline.remaining_s()
    if not math.isfinite(remaining_s):
        return None
    written = _Written(
        endpoint,
        body,
        context.request_id,
        context.tenant,
        remaining_s,
        context.priority,
        context.traceparent,
        context.weight,
    )
    try:
        payload = msgspec.json.encode(written)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return None
    return payload if len(payload) <= MAX_ASK_BYTES else None


def decode(payload: bytes, reply_to: ReplyTo) -> Asked:
    """What the other side asks for.

    Raises:
        ValueError: it is not what `encode` writes.
    """
    try:
        written = _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise ValueError(f"what is asked for cannot be read: {exc}") from exc
    context = RequestContext(
        written.request_id,
        written.tenant,
        Deadline.after(written.remaining_s),
        written.priority,
        written.traceparent,
        written.weight,
    )
    return Asked((written.endpoint, written.body), context, reply_to)
