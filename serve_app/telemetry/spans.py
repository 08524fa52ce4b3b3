"""Spans: the contract, and how a block becomes one.

Parents are handed on explicitly, as the `traceparent` of the RequestContext: a request goes through replicas and async
generators, where ambient context gets lost or leaks into somebody else's request.

Knows nothing of OpenTelemetry: `otel` does. Where tracing is off there is no Tracer, and nobody wraps anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Literal, Protocol

from serve_app.errors import MantaError
from serve_app.messages import RequestContext

Value = str | bool | int | float | Sequence[str]
Attributes = Mapping[str, Value]
Kind = Literal["server", "client", "internal"]


class Span(Protocol):
    """Something that takes time. Nothing of it may raise."""

    @property
    def traceparent(self) -> str:
        """For what happens inside of it."""
        ...

    @property
    def is_recorded(self) -> bool:
        """Whether anybody will see it; if not, finding out attributes is wasted."""
        ...

    def set(self, attributes: Attributes) -> None: ...

    def rename(self, name: str) -> None:
        """For what is only known when it has begun."""
        ...

    def event(self, name: str, attributes: Attributes) -> None: ...

    def fail(self, kind: str, message: str) -> None:
        """It went wrong. The message is only kept where content is captured: errors quote what they are about."""
        ...

    def end(self) -> None: ...


class Tracer(Protocol):
    """Starts spans."""

    @property
    def captures_content(self) -> bool:
        """Whether texts of users, documents and models may be told."""
        ...

    def start(self, name: str, parent: str | None, attributes: Attributes, kind: Kind = "internal") -> Span:
        """A span below the one whose `traceparent` is given; a new trace's first without one."""
        ...


@contextmanager
def spanning(
    tracer: Tracer, name: str, context: RequestContext, attributes: Attributes, kind: Kind = "internal"
) -> Iterator[tuple[Span, RequestContext]]:
    """A block as a span: the span, and the context that what is called inside has."""
    span = tracer.start(name, context.traceparent, attributes, kind)
    try:
        yield span, replace(context, traceparent=span.traceparent)
    except (asyncio.CancelledError, GeneratorExit):
        span.set({"manta.cancelled": True})
        raise
    except BaseException as exc:
        span.fail(error_type(exc), str(exc))
        raise
    finally:
        span.end()


def error_type(exc: BaseException) -> str:
    """A word of low cardinality for an error (`error.type` of the semantic conventions)."""
    return (exc.code if isinstance(exc, MantaError) else None) or exc.__class__.__name__


def trace_id(traceparent: str) -> str:
    return traceparent.split("-")[1]


def is_sampled(traceparent: str) -> bool:
    return bool(int(traceparent.split("-")[3], 16) & 1)
