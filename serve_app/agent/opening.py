"""The first states of a run: RECEIVED, GUARD_IN, ROUTE."""

from __future__ import annotations

import logging
from dataclasses import replace

from serve_app.agent import prompts
from serve_app.agent.budget import within
from serve_app.agent.helper import helped
from serve_app.agent.parts import NO_EVENTS, Events, Parts
from serve_app.agent.route import DEFAULT, Route, Routing, route
from serve_app.agent.run import Run
from serve_app.agent.states import Flag, State, WebMode
from serve_app.errors import BadRequest, MantaError
from serve_app.grounding.untrusted import clean
from serve_app.messages import AgentEvent, AgentQuestion, RequestContext
from serve_app.sessions.base import SessionKey

logger = logging.getLogger("manta.agent")


def session_key(question: AgentQuestion, context: RequestContext) -> SessionKey:
    assert question.session_id is not None
    return SessionKey(context.tenant, question.user_id, question.session_id)


class Opening:
    """Takes a question in, and says where it goes."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._config = parts.config

    async def receive(self, run: Run) -> Events:
        """The question, and the conversation that it goes on with.

        Raises:
            BadRequest: the question is empty or too long, a turn before it is no text, or it names a session
                where none are kept. No event has left then.
        """
        run.question = replace(
            run.question,
            question=self._checked(run.question.question),
            history=tuple(prompts.recent(run.question.history)),
        )
        if run.question.session_id is not None and self._parts.sessions is None:
            raise BadRequest("no session store is configured", "session")
        run.queries = (run.question.question,)
        models = self._parts.drafter.models
        yield AgentEvent(
            "run.started",
            {
                "run_id": run.context.request_id,
                "agent": self._config.name,
                "model": models[0].name if models else None,
            },
        )
        if run.question.session_id is not None:
            await self._load(run)
        run.move(State.GUARD_IN)

    async def guard(self, run: Run) -> Events:
        """Of the conversation's turns those that fit, the session's before the client's own."""
        history = prompts.recent(run.question.history)
        if run.session is not None and run.session.summary:
            history = [prompts.summarised(run.session.summary), *history]
        run.question = replace(run.question, history=tuple(history))
        run.move(State.ROUTE)
        for event in NO_EVENTS:
            yield event

    async def route(self, run: Run) -> Events:
        routing = await self._routing(run)
        run.route = routing.route
        yield AgentEvent("route", {"route": str(routing.route), "reason": routing.reason})
        if routing.route is Route.CHITCHAT:
            run.move(State.GENERATE)
        elif routing.route is Route.REFUSE:
            run.abstain(prompts.REFUSED)
            run.flag(Flag.REFUSED)
            run.move(State.GUARD_OUT)
        elif routing.route is Route.TASK:
            run.move(State.TASK)
        elif routing.route is Route.FRESH:
            run.web_mode = WebMode.FIRST
            run.move(State.WEB)
        else:
            run.move(State.RETRIEVE)

    def _checked(self, question: str) -> str:
        """The question cleaned like any text."""
        limit = self._config.max_question_chars
        if len(question) > limit:
            raise BadRequest(f"the question has {len(question)} characters; the limit is {limit}", "question")
        text = clean(question, limit)
        if not text:
            raise BadRequest("the question is empty", "question")
        return text

    async def _load(self, run: Run) -> None:
        sessions, key = self._parts.sessions, session_key(run.question, run.context)
        assert sessions is not None
        try:
            session = await within(
                lambda own: sessions.load(key, own), run.context, self._config.budget.session_s, "session"
            )
        except MantaError as exc:
            run.context.deadline.check("session")
            logger.warning("the session cannot be read: %s", exc)
            run.flag(Flag.SESSION_UNAVAILABLE)
            return
        run.session = session
        run.question = replace(run.question, history=(*session.recent(), *run.question.history))

    async def _routing(self, run: Run) -> Routing:
        """By rules; where none knows the question, by the helper. Whatever goes wrong there means `kb`."""
        has_web, helper = self._parts.searches(WebMode.FIRST), self._parts.helper
        has_tasks = self._parts.task is not None
        task_words = self._config.task_words if has_tasks else ()
        routing = route(run.question.question, has_web=has_web, task_words=task_words)
        if routing.reason != DEFAULT or helper is None:
            return routing
        question, history = run.question.question, run.question.history
        try:
            found = await helped(
                run,
                lambda own: helper.route(question, history, own),
                self._config.budget.route_s,
                "route",
            )
        except MantaError as exc:
            run.context.deadline.check("route")
            logger.warning("the helper named no route: %s", exc)
            return Routing(Route.KB, "helper_failed")
        has = {Route.FRESH: has_web, Route.TASK: has_tasks}
        return Routing(found if has.get(found, True) else Route.KB, "helper")
