"""The time of one answer: a whole, and stages that get their own share or what remains of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from configs.schema import BudgetConfig
from serve_app.errors import DeadlineExceeded, Unavailable
from serve_app.messages import Deadline, RequestContext

T = TypeVar("T")

# Kept from the caller's time, so that the best draft still arrives before the caller gives up.
_RESERVE_S = 0.25
_RESERVE_FRACTION = 0.05


def answer_context(context: RequestContext, budget: BudgetConfig) -> RequestContext:
    """The request's context with the deadline of the whole answer."""
    return run_context(context, budget.total_s)


def run_context(context: RequestContext, total_s: float) -> RequestContext:
    """The request's context for a run that has `total_s`, or what the caller gives it if that is less."""
    remaining_s = context.deadline.remaining_s()
    usable_s = remaining_s - min(_RESERVE_S, _RESERVE_FRACTION * max(0.0, remaining_s))
    return replace(context, deadline=Deadline.after(min(total_s, usable_s)))


def stage_context(context: RequestContext, seconds: float) -> RequestContext:
    """The context of a stage that has `seconds`, or what remains if that is less."""
    return replace(context, deadline=Deadline.after(context.deadline.within(seconds)))


async def within(
    call: Callable[[RequestContext], Awaitable[T]], context: RequestContext, seconds: float, stage: str
) -> T:
    """What a call gives that has `seconds`, or what remains; for a dependency that may hang.

    Raises:
        DeadlineExceeded: it took longer, be it the stage's time or the whole answer's.
        Unavailable: it gave up by a timeout of its own; besides, whatever the call raises.
    """
    own = stage_context(context, seconds)
    own.deadline.check(stage)
    try:
        async with asyncio.timeout(own.deadline.remaining_s()) as timer:
            return await call(own)
    except TimeoutError as exc:
        if not timer.expired():
            raise Unavailable(f"a timeout below: {stage}") from exc
        raise DeadlineExceeded(f"the time was over at: {stage}", stage) from exc
