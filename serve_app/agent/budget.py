"""The time of one answer: a whole, and stages that get their own share or what remains of it."""

from __future__ import annotations

from dataclasses import replace

from configs.schema import BudgetConfig
from serve_app.messages import Deadline, RequestContext

# Kept from the caller's time, so that the best draft still arrives before the caller gives up.
_RESERVE_S = 0.25
_RESERVE_FRACTION = 0.05


def answer_context(context: RequestContext, budget: BudgetConfig) -> RequestContext:
    """The request's context with the deadline of the whole answer."""
    remaining_s = context.deadline.remaining_s()
    usable_s = remaining_s - min(_RESERVE_S, _RESERVE_FRACTION * max(0.0, remaining_s))
    return replace(context, deadline=Deadline.after(min(budget.total_s, usable_s)))


def stage_context(context: RequestContext, seconds: float) -> RequestContext:
    """The context of a stage that has `seconds`, or what remains if that is less."""
    return replace(context, deadline=Deadline.after(context.deadline.within(seconds)))
