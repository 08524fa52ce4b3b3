from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from configs.schema import BudgetConfig
from serve_app.agent.budget import answer_context, stage_context
from serve_app.messages import Deadline, RequestContext


@pytest.mark.parametrize(("caller_s", "answer_s"), [(120.0, 30.0), (10.0, 9.75), (2.0, 1.9), (-1.0, -1.0)])
def test_an_answer_gets_its_budget_or_what_the_caller_has_less_the_way_back(
    virtual: Callable[..., Any], caller_s: float, answer_s: float
) -> None:
    async def main() -> float:
        caller = RequestContext("r", "t", Deadline.after(caller_s))
        return answer_context(caller, BudgetConfig()).deadline.remaining_s()

    assert virtual(main) == pytest.approx(answer_s)


def test_a_stage_never_outlives_the_answer(virtual: Callable[..., Any]) -> None:
    async def main() -> tuple[float, float]:
        answer = RequestContext("r", "t", Deadline.after(3.0))
        return tuple(stage_context(answer, s).deadline.remaining_s() for s in (2.0, 8.0))  # type: ignore[return-value]

    assert virtual(main) == pytest.approx((2.0, 3.0))
