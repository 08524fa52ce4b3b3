"""The answer pipeline as a state machine over protocols: code owns the flow, models fill in text.

The states and their moves are drawn in `serve_app.agent.states`; each stage is a generator of events
that ends by moving the run on. What is not configured (judge, web, helper, sessions) is never entered.

With a judge an answer's text leaves after the gate has passed it; on request (`is_optimistic`) drafts
leave at once, and `answer.revised` follows if the gate decides otherwise. Without a judge nothing waits,
and a generated answer carries the flag `unevaluated`.

Knows nothing of HTTP or Ray. Everything runs in the caller's task, or in tasks that a stage awaits:
closing the events closes what is under way, and nothing is left behind.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractContextManager, aclosing, nullcontext

from configs.schema import AgentConfig
from serve_app.agent.base import AgentClient
from serve_app.agent.budget import answer_context
from serve_app.agent.drafting import Drafter
from serve_app.agent.ending import Ending
from serve_app.agent.helper import Helper
from serve_app.agent.opening import Opening
from serve_app.agent.parts import Events, Parts
from serve_app.agent.run import Run
from serve_app.agent.searching import Searching
from serve_app.agent.states import MOVES, Outcome, State
from serve_app.agent.tasks import Tasks
from serve_app.agent.web_queries import WebUse
from serve_app.agent.writing import Writing
from serve_app.engines.base import ModelClient
from serve_app.errors import DeadlineExceeded
from serve_app.evaluation.base import Judge
from serve_app.evaluation.calibration import Calibrations
from serve_app.messages import AgentEvent, AgentQuestion, ModelCard, RequestContext
from serve_app.retrieval.base import KnowledgeClient
from serve_app.sessions.base import SessionStore
from serve_app.websearch.base import WebSearch

_NONCE_BYTES = 8


_NOTHING = nullcontext()


def _ignore(_: Run) -> None:
    """Nobody wants to know how runs end."""


def _nothing_around(_: Run) -> AbstractContextManager[None]:
    return _NOTHING


class AnswerPipeline:
    """An AgentClient over chat models and a knowledge base."""

    def __init__(
        self,
        config: AgentConfig,
        clients: Mapping[str, ModelClient],
        cards: Mapping[str, ModelCard],
        knowledge: KnowledgeClient,
        make_nonce: Callable[[], str] = lambda: secrets.token_hex(_NONCE_BYTES),
        *,
        calibrations: Calibrations = Calibrations(),  # noqa: B008 (frozen)
        web: WebSearch | None = None,
        web_use: WebUse = WebUse(),  # noqa: B008 (frozen)
        judge: Judge | None = None,
        helper: Helper | None = None,
        sessions: SessionStore | None = None,
        task: AgentClient | None = None,
        on_end: Callable[[Run], None] = _ignore,
        around: Callable[[Run], AbstractContextManager[None]] | None = None,
    ) -> None:
        """`clients` and `cards` hold those of `config.models` that are served, by name.

        `on_end` is told of every run that ended, also of one that was cancelled and whose client hears nothing.
        `around` is entered for the length of each stage.
        """
        self._config = config
        self._on_end = on_end
        self._around = around or _nothing_around
        drafter = Drafter(config, clients, cards)
        parts = Parts(
            config,
            drafter,
            knowledge,
            calibrations,
            make_nonce,
            web,
            judge,
            helper,
            sessions,
            task,
            web_use=web_use,
        )
        opening, searching = Opening(parts), Searching(parts)
        writing, self._ending = Writing(parts), Ending(parts)
        self._stages: dict[State, Callable[[Run], Events]] = {
            State.RECEIVED: opening.receive,
            State.GUARD_IN: opening.guard,
            State.ROUTE: opening.route,
            State.TASK: Tasks(parts).task,
            State.RETRIEVE: searching.retrieve,
            State.GRADE_CTX: searching.grade,
            State.REWRITE: searching.rewrite,
            State.WEB: searching.web,
            State.GENERATE: writing.generate,
            State.EVALUATE: writing.evaluate,
            State.REGENERATE: writing.regenerate,
            State.DEADLINE: self._ending.deadline,
            State.GUARD_OUT: self._ending.guard,
        }

    async def answer(self, question: AgentQuestion, context: RequestContext) -> AsyncGenerator[AgentEvent]:
        context.deadline.check("agent")
        run = Run(question, answer_context(context, self._config.budget))
        try:
            async with aclosing(self._steps(run)) as events:
                async for event in events:
                    yield event
            if run.outcome() is not Outcome.PAUSED:
                await self._ending.remember(run)
            cited = run.citations()
            for citation in cited:
                yield AgentEvent("citation", citation)
            self._on_end(run)
        except (asyncio.CancelledError, GeneratorExit):
            run.move(State.CANCELLED)
            self._on_end(run)
            raise
        yield run.final(cited)

    async def _steps(self, run: Run) -> AsyncGenerator[AgentEvent]:
        while run.state is not State.FINAL:
            try:
                with self._around(run):
                    async with aclosing(self._stages[run.state](run)) as events:
                        async for event in events:
                            yield event
            except DeadlineExceeded:
                if State.DEADLINE not in MOVES[run.state]:
                    raise
                run.move(State.DEADLINE)
