"""A request for a model's or an agent's answer on its way through the steps before them.

An answer is a stream of frames: server-sent events for clients that stream, and for the others one frame, which is
the whole document. So a step is written once for both.

Knows nothing of HTTP but headers, which steps read and write by name.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from serve_app.messages import JsonObject, RequestContext


@dataclass(slots=True)
class Served:
    """Who answered, for whoever counts what it cost."""

    model: str | None = None  # None: the one that was asked
    is_free: bool = False  # nothing was computed for this request
    # (model, prompt tokens, answer tokens) of answers that were made and not sent
    discarded: list[tuple[str, int, int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked. Steps hand on changed copies; `told` and `served` are shared by all copies."""

    name: str  # the model, group or agent
    kind: str  # the path below /v1
    body: JsonObject
    context: RequestContext
    is_stream: bool
    headers: Mapping[str, str]  # of the request; names in lower case
    told: dict[str, str] = field(default_factory=dict)  # headers of the answer, complete with its first frame
    served: Served = field(default_factory=Served)
    is_once: bool = False  # it changes something: no answer of it is kept, and none is given twice

    def of(self, model: str) -> Ask:
        """The same of another model."""
        return self if model == self.name else replace(self, name=model, body={**self.body, "model": model})


Source = Callable[[Ask], AsyncGenerator[bytes]]
"""Makes the answer. Raises errors of our tree; closing it stops the work."""


class Step(Protocol):
    """Something between the client and the source."""

    def concerns(self, ask: Ask) -> bool:
        """Whether this request has to go through it."""
        ...

    def frames(self, ask: Ask, inner: Source) -> AsyncGenerator[bytes]:
        """The answer; what comes after this step is `inner`."""
        ...


class InputGuard(Protocol):
    """Looks at what goes in to models whose requests take no steps."""

    async def let_in(
        self, body: JsonObject, context: RequestContext, told: dict[str, str], *, is_followed: bool = True
    ) -> JsonObject:
        """The body as a model may have it.

        Args:
            told: gets the header that tells what was found.
            is_followed: the model does what it reads; False: it makes numbers of it.

        Raises:
            ContentRefused, BadRequest, Unavailable: it may not go in.
        """
        ...


class Front:
    """The steps, outermost first.

    Args:
        closing: what has to be closed with them.
        guard: nothing may go to a model that it has not looked at; None: everything may.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        closing: Sequence[Callable[[], Awaitable[None]]] = (),
        *,
        guard: InputGuard | None = None,
    ) -> None:
        self.guard = guard
        self._steps = tuple(steps)
        self._closing = tuple(closing)

    def frames(self, ask: Ask, source: Source) -> AsyncGenerator[bytes]:
        """The answer through all steps that concern the request."""
        for step in reversed(self._steps):
            if step.concerns(ask):
                source = partial(step.frames, inner=source)
        return source(ask)

    async def close(self) -> None:
        for end in self._closing:
            await end()
