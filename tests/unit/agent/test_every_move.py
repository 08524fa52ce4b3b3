"""A run for every move that is drawn; and for each state that waits one out of time, and one whose client leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from configs.schema import BudgetConfig
from serve_app.agent.helper import FixtureHelper
from serve_app.agent.route import Route
from serve_app.agent.states import MOVES, Outcome, State
from serve_app.errors import EngineFailed
from serve_app.evaluation.base import Metric, Score
from serve_app.evaluation.fixture_judge import FixtureJudge
from serve_app.messages import AgentQuestion, Passage
from serve_app.websearch.base import WebResult

HANG = "hang"
BROKEN = EngineFailed("it broke")
QUESTION = "How does the deadline travel with a request?"
NEWS = "What is the news on the deadline?"
PAGES = (WebResult("https://example.org/deadline", "Deadlines", "The deadline travels with each request."),)
Build = Callable[..., Any]
Virtual = Callable[..., Any]


def passages(cosine: float | None, text: str) -> tuple[Passage, ...]:
    return (Passage("p1", "d", "s", "a.md", "A", (), text, 0, cosine=cosine, bm25=1.0),)


DOUBTFUL = {"passages": passages(None, "The deadline travels with the request.")}
STRANGE = {"passages": passages(0.02, "Nothing of it.")}
ALONE = {"abstain_when_incorrect": False}


def judge(faithfulness: float, relevancy: float) -> dict[str, Any]:
    values = {
        Metric.FAITHFULNESS: Score(faithfulness),
        Metric.ANSWER_RELEVANCY: Score(relevancy),
        Metric.CONTEXT_RELEVANCE: Score(0.9),
    }
    return {"judge": FixtureJudge(values)}


TWO_DRAFTS = {"models": {"chat": [["First [1]."], ["Second [1]."]]}}
Move = tuple[State, State]
# move -> (the question, what the house is like)
RUNS: dict[Move, tuple[str, dict[str, Any]]] = {
    (State.RECEIVED, State.GUARD_IN): (QUESTION, {}),
    (State.GUARD_IN, State.ROUTE): (QUESTION, {}),
    (State.ROUTE, State.RETRIEVE): (QUESTION, {}),
    (State.ROUTE, State.WEB): (NEWS, {"pages": PAGES}),
    (State.ROUTE, State.GENERATE): ("Hello!", {}),
    (State.ROUTE, State.GUARD_OUT): (QUESTION, {"helper": FixtureHelper(Route.REFUSE)}),
    (State.ROUTE, State.TASK): (QUESTION, {"helper": FixtureHelper(Route.TASK), "clerk": (["Done."], {})}),
    (State.TASK, State.FINAL): (QUESTION, {"helper": FixtureHelper(Route.TASK), "clerk": (["Done."], {})}),
    (State.TASK, State.GUARD_OUT): (
        QUESTION,
        {"helper": FixtureHelper(Route.TASK), "clerk": ([BROKEN], None)},
    ),
    (State.RETRIEVE, State.GRADE_CTX): (QUESTION, {}),
    (State.RETRIEVE, State.WEB): (QUESTION, {"search": [BROKEN], "pages": PAGES}),
    (State.RETRIEVE, State.GENERATE): (QUESTION, {"search": [BROKEN], **ALONE}),
    (State.RETRIEVE, State.GUARD_OUT): (QUESTION, {"search": [BROKEN]}),
    (State.GRADE_CTX, State.GENERATE): (QUESTION, {}),
    (State.GRADE_CTX, State.REWRITE): (QUESTION, {**STRANGE, "helper": FixtureHelper()}),
    (State.GRADE_CTX, State.WEB): (QUESTION, {**DOUBTFUL, "pages": PAGES}),
    (State.GRADE_CTX, State.GUARD_OUT): (QUESTION, STRANGE),
    (State.REWRITE, State.RETRIEVE): (QUESTION, {**STRANGE, "helper": FixtureHelper(queries=("rpc",))}),
    (State.REWRITE, State.WEB): (QUESTION, {**STRANGE, "helper": FixtureHelper(), "pages": PAGES}),
    (State.REWRITE, State.GENERATE): (QUESTION, {**STRANGE, "helper": FixtureHelper(), **ALONE}),
    (State.REWRITE, State.GUARD_OUT): (QUESTION, {**STRANGE, "helper": FixtureHelper()}),
    (State.WEB, State.GENERATE): (QUESTION, {**DOUBTFUL, "pages": PAGES}),
    (State.WEB, State.GRADE_CTX): (NEWS, {"pages": ()}),
    (State.WEB, State.GUARD_OUT): (QUESTION, {**STRANGE, "pages": ()}),
    (State.GENERATE, State.EVALUATE): (QUESTION, {}),
    (State.EVALUATE, State.GUARD_OUT): (QUESTION, judge(0.9, 0.9)),
    (State.EVALUATE, State.REGENERATE): (QUESTION, judge(0.6, 0.9) | TWO_DRAFTS),
    (State.EVALUATE, State.WEB): (QUESTION, judge(0.9, 0.2) | {"pages": PAGES}),
    (State.REGENERATE, State.EVALUATE): (QUESTION, judge(0.6, 0.9) | TWO_DRAFTS),
    (State.DEADLINE, State.GUARD_OUT): (
        QUESTION,
        {"models": {"chat": [HANG]}, "budget": BudgetConfig(first_token_s=50.0)},
    ),
    (State.GUARD_OUT, State.FINAL): (QUESTION, {}),
}

# Only these call nobody, and so neither the time nor a client that leaves can strike in them.
NEVER_WAITS = {State.GUARD_IN, State.GRADE_CTX, State.GUARD_OUT, State.DEADLINE, State.FINAL, State.CANCELLED}
# state -> (the question, a house in which whoever is asked there hangs)
WAITS: dict[State, tuple[str, dict[str, Any]]] = {
    State.RECEIVED: (QUESTION, {"session_steps": [HANG]}),
    State.ROUTE: (QUESTION, {"helper": FixtureHelper(), "helper_steps": [HANG]}),
    State.TASK: (QUESTION, {"helper": FixtureHelper(Route.TASK), "clerk": (["It ", HANG], {})}),
    State.RETRIEVE: (QUESTION, {"search": [HANG]}),
    # The helper is asked for a route first, and has a second for it.
    State.REWRITE: (QUESTION, {**STRANGE, "helper": FixtureHelper(), "helper_steps": [HANG]}),
    State.WEB: (NEWS, {"pages": PAGES, "web_steps": [HANG]}),
    State.GENERATE: (QUESTION, {"models": {"chat": [HANG]}}),
    State.EVALUATE: (QUESTION, {**judge(0.9, 0.9), "judge_steps": [HANG]}),
    State.REGENERATE: (QUESTION, judge(0.6, 0.9) | {"models": {"chat": [["First [1]."], [HANG]]}}),
}
LONG = {"route_s": 50.0, "retrieve_s": 50.0, "rewrite_s": 50.0, "web_s": 50.0, "first_token_s": 50.0}
LONG |= {"evaluate_s": 50.0, "session_s": 50.0, "min_loop_s": 0.0}


def house_of(build: Build, state: State) -> tuple[AgentQuestion, Any]:
    question, options = WAITS[state]
    budget = LONG | ({"route_s": 1.0} if state is State.REWRITE else {})
    asked = AgentQuestion(question, session_id="s1" if "session_steps" in options else None)
    return asked, build(budget=BudgetConfig(**budget), **options)


def test_no_move_is_forgotten() -> None:
    ends = {State.DEADLINE, State.CANCELLED}
    assert set(RUNS) == {(before, after) for before, to in MOVES.items() for after in to - ends}
    assert set(WAITS) == set(State) - NEVER_WAITS


@pytest.mark.parametrize("move", RUNS, ids=lambda move: f"{move[0]}-{move[1]}")
def test_a_move_is_made(build: Build, virtual: Virtual, move: Move) -> None:
    question, options = RUNS[move]
    house = build(**options)
    events = virtual(lambda: house.ask(question))
    made = [State(step["state"]) for step in events[-1].data["run"]]
    assert move in list(pairwise(made))
    assert house.num_running() == 0


@pytest.mark.parametrize("state", WAITS)
def test_the_time_may_be_over_in_every_state_that_waits(build: Build, virtual: Virtual, state: State) -> None:
    asked, house = house_of(build, state)
    final = virtual(lambda: house.ask(asked, within_s=4.0))[-1].data
    made = [step["state"] for step in final["run"]]
    if state is State.TASK:  # its text has left, and stays
        assert (final["text"], final["flags"]) == ("It ", ["deadline", "interrupted"])
        assert made[-2:] == ["task", "final"]
    else:
        assert made[-4:] == [state, "deadline", "guard_out", "final"]
    assert "deadline" in final["flags"]
    assert house.num_running() == 0


@pytest.mark.parametrize("state", WAITS)
def test_a_client_may_leave_in_every_state_that_waits(build: Build, virtual: Virtual, state: State) -> None:
    asked, house = house_of(build, state)

    async def main() -> int:
        task = asyncio.create_task(house.ask(asked))
        await asyncio.sleep(2.0)
        assert house.num_running() == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return len(asyncio.all_tasks())

    assert virtual(main) == 1  # this one
    assert house.num_running() == 0
    (run,) = house.ended
    assert run.outcome() is Outcome.CANCELLED
    assert run.trace[-1]["state"] == state
