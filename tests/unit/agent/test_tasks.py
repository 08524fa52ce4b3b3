"""The route `task`: a declared agent does it, and the pipeline passes on what it says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from configs.schema import AgentConfig
from serve_app.agent.helper import FixtureHelper
from serve_app.agent.pipeline import AnswerPipeline
from serve_app.agent.route import Route, route
from serve_app.agent.run import Run
from serve_app.errors import MantaError, Unavailable
from serve_app.messages import AgentEvent, AgentQuestion, RequestContext, SearchResult
from serve_app.sessions.base import SessionKey
from serve_app.sessions.memory import MemorySessions

USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "num_model_calls": 2}
FINAL = {
    "text": "Booked.",
    "outcome": "answered",
    "citations": [{"n": 1}],
    "flags": [],
    "notes": [],
    "usage": USAGE,
    "model": "chat",
    "run": [],
    "run_id": "run_1",
}
CALL = AgentEvent("tool.started", {"call_id": "c0", "tool": "book", "arguments": {}})


class Clerk:
    """An agent for tasks that plays events; an error is raised."""

    def __init__(self, *steps: AgentEvent | MantaError) -> None:
        self._steps = steps
        self.asked: list[AgentQuestion] = []
        self.num_running = 0

    async def answer(self, question: AgentQuestion, context: RequestContext) -> AsyncIterator[AgentEvent]:
        self.asked.append(question)
        self.num_running += 1
        try:
            yield AgentEvent("run.started", {"run_id": "run_1", "agent": "clerk", "model": "chat"})
            for step in self._steps:
                if isinstance(step, MantaError):
                    raise step
                yield step
        finally:
            self.num_running -= 1


class Empty:
    """A knowledge base with nothing in it."""

    async def search(self, *_: object) -> SearchResult:
        return SearchResult(())


def said(text: str) -> AgentEvent:
    return AgentEvent("answer.delta", {"text": text})


def final(**changed: Any) -> AgentEvent:
    return AgentEvent("answer.final", FINAL | changed)


async def ask(clerk: Clerk | None, question: str, context: RequestContext, **parts: Any) -> list[AgentEvent]:
    config = AgentConfig(models=("absent",), task_agent="clerk", task_words=("book", "cancel my"))
    pipeline = AnswerPipeline(config, {}, {}, Empty(), task=clerk, **parts)  # type: ignore[arg-type]
    asked = AgentQuestion(question, user_id="ann", session_id="s" if "sessions" in parts else None)
    async with aclosing(pipeline.answer(asked, context)) as events:
        return [event async for event in events]


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("Please book a room.", Route.TASK),
        ("Cancel  my trip", Route.TASK),
        ("Which notebooks are there?", Route.KB),
        ("What was booked?", Route.KB),
        ("hello", Route.CHITCHAT),
    ],
)
def test_words_make_a_question_a_task(question: str, found: Route) -> None:
    assert route(question, task_words=("book", "cancel my")).route is found


async def test_a_task_goes_to_the_agent_for_tasks(context: RequestContext) -> None:
    clerk = Clerk(CALL, said("Boo"), said("ked."), final())
    events = await ask(clerk, "book a room", context)
    assert [event.type for event in events] == [
        "run.started",
        "route",
        "tool.started",
        "answer.delta",
        "answer.delta",
        "citation",
        "answer.final",
    ]
    assert events[1].data == {"route": "task", "reason": "task_word:book"}
    told = events[-1].data
    assert (told["text"], told["outcome"], told["model"], told["run_id"]) == (
        "Booked.",
        "answered",
        "chat",
        "run_1",
    )
    assert told["usage"]["num_model_calls"] == 2
    assert [one["state"] for one in told["run"]] == ["received", "guard_in", "route", "task", "final"]
    assert clerk.num_running == 0


async def test_a_helper_finds_tasks(context: RequestContext) -> None:
    ended: list[Run] = []
    helper = FixtureHelper(Route.TASK)
    events = await ask(Clerk(final()), "Get me a taxi", context, helper=helper, on_end=ended.append)
    assert events[1].data == {"route": "task", "reason": "helper"}
    assert events[-1].data["usage"]["num_model_calls"] == 3
    # Metrics count the helper's call here, and the clerk's where they were made.
    own = ended[0].own_usage()
    assert (own["num_model_calls"], own["total_tokens"]) == (1, 0)


@pytest.mark.parametrize("question", ["book a room", "Get me a taxi"])
async def test_without_such_an_agent_it_is_a_question_for_the_documents(
    context: RequestContext, question: str
) -> None:
    events = await ask(None, question, context, helper=FixtureHelper(Route.TASK))
    assert events[1].data["route"] == "kb"


async def test_its_flags_are_the_answers(context: RequestContext) -> None:
    events = await ask(Clerk(final(flags=["tool_failed"], notes=["Slow."])), "book a room", context)
    told = events[-1].data
    assert (told["outcome"], told["flags"], told["notes"]) == ("degraded", ["tool_failed"], ["Slow."])


async def test_a_task_that_waits_for_a_person_is_paused_and_no_turn(context: RequestContext) -> None:
    approval = {"run_id": "run_1", "agent": "clerk", "token": "t"}
    sessions = MemorySessions()
    clerk = Clerk(AgentEvent("approval.required", approval), final(outcome="paused", approval=approval))
    events = await ask(clerk, "book a room", context, sessions=sessions)
    assert events[-1].data["outcome"] == "paused"
    assert events[-1].data["approval"] == approval
    assert (await sessions.load(SessionKey(context.tenant, "ann", "s"), context)).version == 0
    assert (clerk.asked[0].user_id, clerk.asked[0].session_id) == ("ann", None)


async def test_an_agent_that_is_down_is_told(context: RequestContext) -> None:
    told = (await ask(Clerk(Unavailable("gone")), "book a room", context))[-1].data
    assert (told["outcome"], told["flags"]) == ("abstained", ["task_unavailable"])
    assert told["text"] == "The assistant for such tasks cannot be reached at the moment."


async def test_text_that_has_left_stays(context: RequestContext) -> None:
    told = (await ask(Clerk(said("Book"), Unavailable("gone")), "book a room", context))[-1].data
    assert (told["text"], told["outcome"]) == ("Book", "degraded")
    assert told["flags"] == ["task_unavailable", "interrupted"]


async def test_leaving_stops_the_agent(context: RequestContext) -> None:
    clerk = Clerk(CALL, said("Never."))
    config = AgentConfig(models=("absent",), task_agent="clerk", task_words=("book",))
    pipeline = AnswerPipeline(config, {}, {}, Empty(), task=clerk)  # type: ignore[arg-type]
    async with aclosing(pipeline.answer(AgentQuestion("book it"), context)) as events:
        async for event in events:
            if event.type == "tool.started":
                break
    assert clerk.num_running == 0
