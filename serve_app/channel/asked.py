"""What is asked for by the channel: a stream of a deployment's method.

It travels in a call, pickled by Serve, or, where its arguments are of a kind that is known here, as JSON by a
connection that is there already: what comes by the channel is never unpickled.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from serve_app.channel.address import ReplyTo
from serve_app.messages import AgentQuestion, Deadline, Endpoint, JsonObject, Priority, RequestContext

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
    """A stream on the wire; the fields of a RequestContext with the time that remains."""

    kind: str
    args: msgspec.Raw
    request_id: str
    tenant: str
    remaining_s: float
    priority: Priority
    traceparent: str | None
    weight: float | None
    session: str | None
    is_again: bool


_decoder = msgspec.json.Decoder(_Written)
# A stream's arguments, by what they are called on the wire.
_MODEL, _AGENT = "model", "agent"
_args_decoders: dict[str, msgspec.json.Decoder[Any]] = {
    _MODEL: msgspec.json.Decoder(tuple[Endpoint, JsonObject]),
    _AGENT: msgspec.json.Decoder(tuple[AgentQuestion]),
}


def _kind_of(args: tuple[Any, ...]) -> str | None:
    match args:
        case (Endpoint(), dict()):
            return _MODEL
        case (AgentQuestion(),):
            return _AGENT
        case _:
            return None


def encode(asked: Asked) -> bytes | None:
    """For the other side's `decode`; None if it is of no kind that is known, or cannot be written so."""
    kind, context = _kind_of(asked.args), asked.context
    remaining_s = context.deadline.remaining_s()
    if kind is None or not math.isfinite(remaining_s):
        return None
    try:
        written = _Written(
            kind,
            msgspec.Raw(msgspec.json.encode(asked.args)),
            context.request_id,
            context.tenant,
            remaining_s,
            context.priority,
            context.traceparent,
            context.weight,
            context.session,
            context.is_again,
        )
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
        args = _args_decoders[written.kind].decode(written.args)
    except KeyError as exc:
        raise ValueError(f"what is asked for cannot be read: no kind is called {exc}") from exc
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise ValueError(f"what is asked for cannot be read: {exc}") from exc
    context = RequestContext(
        written.request_id,
        written.tenant,
        Deadline.after(written.remaining_s),
        written.priority,
        written.traceparent,
        written.weight,
        written.session,
        written.is_again,
    )
    return Asked(args, context, reply_to)
