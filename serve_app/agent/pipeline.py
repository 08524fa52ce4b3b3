"""The answer pipeline: route, retrieve, grade, generate, guard; code owns the flow.

    RECEIVED -> ROUTE -+- chitchat ---------------------------------> GENERATE -> GUARD_OUT -> FINAL
                       `- kb -> RETRIEVE -> GRADE_CTX -+- correct,
                                   |                   |  ambiguous -^
                                   |                   `- incorrect: abstain -^
                                   `- no knowledge base: abstain -------------^

No judge looks at answers here, so a generated one carries the flag `unevaluated` and its text is
sent as it is made; nothing is searched on the web. A question is searched for as it stands: earlier
turns reach the model, not the search.

Knows nothing of HTTP or Ray. Everything runs in the caller's task: closing the events closes what
is under way, and nothing is left behind.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing

from configs.schema import AgentConfig
from serve_app.agent import prompts
from serve_app.agent.budget import answer_context, stage_context
from serve_app.agent.drafting import ChatModel, Drafter
from serve_app.agent.grade import Verdict, grade
from serve_app.agent.route import HELP_TEXT, Route, route
from serve_app.agent.run import Flag, Run, State
from serve_app.engines.base import ModelClient
from serve_app.errors import BadRequest, DeadlineExceeded, MantaError
from serve_app.grounding.prompt import NOTHING_FITS, render, sources_of
from serve_app.grounding.untrusted import clean
from serve_app.messages import AgentEvent, AgentQuestion, JsonObject, ModelCard, RequestContext, SearchQuery
from serve_app.retrieval.base import KnowledgeClient

logger = logging.getLogger("manta.agent")

_NONCE_BYTES = 8
_NUM_NEAREST = 3  # sources that an abstention shows

Events = AsyncGenerator[AgentEvent]


class AnswerPipeline:
    """An AgentClient over chat models and a knowledge base."""

    def __init__(
        self,
        config: AgentConfig,
        clients: Mapping[str, ModelClient],
        cards: Mapping[str, ModelCard],
        knowledge: KnowledgeClient,
        make_nonce: Callable[[], str] = lambda: secrets.token_hex(_NONCE_BYTES),
    ) -> None:
        """`clients` and `cards` hold those of `config.models` that are served, by name."""
        self._config = config
        self._drafter = Drafter(config, clients, cards)
        self._knowledge = knowledge
        self._make_nonce = make_nonce
        self._stages: dict[State, Callable[[Run], Events]] = {
            State.RECEIVED: self._receive,
            State.ROUTE: self._route,
            State.RETRIEVE: self._retrieve,
            State.GRADE_CTX: self._grade,
            State.GENERATE: self._generate,
            State.GUARD_OUT: self._guard,
        }

    async def answer(self, question: AgentQuestion, context: RequestContext) -> AsyncGenerator[AgentEvent]:
        context.deadline.check("agent")
        run = Run(self._checked(question), answer_context(context, self._config.budget))
        while run.state is not State.FINAL:
            async with aclosing(self._stages[run.state](run)) as events:
                async for event in events:
                    yield event
        cited = run.citations()
        for citation in cited:
            yield AgentEvent("citation", citation)
        yield run.final(cited)

    def _checked(self, question: AgentQuestion) -> AgentQuestion:
        """The question as the stages see it: cleaned like any text, its history cut to what fits.

        Raises:
            BadRequest: it is empty or too long, or a turn before it is no text.
        """
        if len(question.question) > self._config.max_question_chars:
            raise BadRequest(
                f"the question has {len(question.question)} characters;"
                f" the limit is {self._config.max_question_chars}",
                "question",
            )
        text = clean(question.question, self._config.max_question_chars)
        if not text:
            raise BadRequest("the question is empty", "question")
        history = tuple(prompts.recent(question.history))
        return AgentQuestion(
            text, history, question.k, question.filters, question.max_tokens, question.temperature
        )

    async def _receive(self, run: Run) -> Events:
        first = self._drafter.models[0].name if self._drafter.models else None
        yield AgentEvent(
            "run.started", {"run_id": run.context.request_id, "agent": self._config.name, "model": first}
        )
        run.move(State.ROUTE)

    async def _route(self, run: Run) -> Events:
        routing = route(run.question.question)
        yield AgentEvent("route", {"route": str(routing.route), "reason": routing.reason})
        run.move(State.RETRIEVE if routing.route is Route.KB else State.GENERATE)

    async def _retrieve(self, run: Run) -> Events:
        context = stage_context(run.context, self._config.budget.retrieve_s)
        k = self._config.num_passages if run.question.k is None else run.question.k
        query = SearchQuery(run.question.question, k, filters=run.question.filters)
        start_s = asyncio.get_running_loop().time()
        flags: tuple[str, ...] = ()
        try:
            # The client keeps to the deadline by itself; the timer is for one that hangs.
            async with asyncio.timeout(context.deadline.remaining_s()):
                result = await self._knowledge.search(query, context)
            run.passages, flags = result.passages, result.flags
            run.sources = sources_of(result.passages)
            run.move(State.GRADE_CTX)
        except BadRequest:
            raise  # a filter or k that the client has to change
        except (MantaError, TimeoutError) as exc:
            run.context.deadline.check("retrieve")
            logger.warning("the knowledge base gave nothing: %s", exc or exc.__class__.__name__)
            flags = (Flag.KB_UNAVAILABLE,)
            run.abstain(prompts.KB_UNAVAILABLE)
            run.move(State.GUARD_OUT)
        run.flag(*flags)
        yield AgentEvent(
            "retrieval",
            {
                "n": len(run.passages),
                "ids": [passage.id for passage in run.passages],
                "scores": [passage.score for passage in run.passages],
                "flags": [str(flag) for flag in flags],
                "took_ms": round((asyncio.get_running_loop().time() - start_s) * 1000, 3),
            },
        )

    async def _grade(self, run: Run) -> Events:
        result = grade(run.question.question, run.passages, self._config.gate)
        run.verdict = result.verdict
        yield AgentEvent("grade", result.data())
        if result.verdict is not Verdict.INCORRECT:
            run.is_grounded = True
            run.move(State.GENERATE)
            return
        run.flag(Flag.LOW_CONFIDENCE)
        if self._config.abstain_when_incorrect or not self._drafter.generative():
            self._abstain(run)
            run.move(State.GUARD_OUT)
            return
        # Below the threshold the passages are not used, neither as sources nor in the prompt.
        run.passages, run.sources = (), ()
        run.flag(Flag.UNGROUNDED)
        run.move(State.GENERATE)

    async def _generate(self, run: Run) -> Events:
        messages, models = self._plan(run)
        try:
            async with aclosing(self._drafter.draft(run, messages, models)) as events:
                async for event in events:
                    yield event
        except DeadlineExceeded:
            # Quotes take no time: with passages at hand they are the best draft there is.
            if not run.is_grounded or self._drafter.quote(run) is None:
                raise
            run.flag(Flag.DEADLINE)
        if run.model is None and not run.draft:
            self._without_model(run)
        run.move(State.GUARD_OUT)

    def _plan(self, run: Run) -> tuple[list[JsonObject], tuple[ChatModel, ...]]:
        """What to ask, and which models can be asked it: one that only quotes needs passages."""
        question, history = run.question.question, run.question.history
        if run.is_grounded:
            return render(question, run.sources, self._make_nonce(), history), self._drafter.models
        if run.verdict is None:
            return prompts.chitchat(question, history), self._drafter.generative()
        return prompts.ungrounded(question, history), self._drafter.generative()

    def _without_model(self, run: Run) -> None:
        """No model gave a draft."""
        if run.is_grounded:
            if self._drafter.quote(run) is None:
                run.flag(Flag.LOW_CONFIDENCE)
                self._abstain(run)
        elif run.verdict is None:
            run.draft = HELP_TEXT
        else:
            self._abstain(run)

    async def _guard(self, run: Run) -> Events:
        if run.is_grounded and run.draft.strip() == NOTHING_FITS:
            run.is_abstained = True
            run.flag(Flag.LOW_CONFIDENCE)
            self._show_nearest(run)
        run.draft = run.draft.rstrip()
        if text := run.unsent(is_complete=True):
            yield AgentEvent("answer.delta", {"text": text})
        run.draft = run.guarded()
        if run.is_grounded and not run.is_abstained and not run.citations():
            run.flag(Flag.UNCITED)
        run.move(State.FINAL)

    def _abstain(self, run: Run) -> None:
        run.abstain(prompts.ABSTAINED_WITH_SOURCES if run.sources else prompts.ABSTAINED)
        self._show_nearest(run)

    def _show_nearest(self, run: Run) -> None:
        run.passages, run.sources = run.passages[:_NUM_NEAREST], run.sources[:_NUM_NEAREST]
