"""A declared agent as an AgentClient: a question in, events out, and the rest of a run after a person's decision.

The loop runs in a task of its own, whose end is awaited however the events end: closing them stops the model and
the tools, and nothing is left behind. Knows nothing of HTTP or Ray.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import uuid
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import asdict, replace
from typing import Any

from configs.schema import DeclaredAgent
from serve_app.agent import prompts
from serve_app.agent.budget import run_context, within
from serve_app.agents.approvals import Approvals, Waiting
from serve_app.agents.base import Tool, ToolSource
from serve_app.agents.calling import OnCall
from serve_app.agents.run import AgentRun, Flag, RunState
from serve_app.agents.turn import strands_messages
from serve_app.engines.base import ModelClient
from serve_app.errors import BadRequest, Conflict, DeadlineExceeded, MantaError, NotFound
from serve_app.grounding.untrusted import clean
from serve_app.messages import AgentEvent, AgentQuestion, ApprovalDecision, JsonObject, RequestContext
from serve_app.sessions.base import Session, SessionKey, SessionStore

logger = logging.getLogger("manta.agents")

_NONCE_BYTES = 8
_SESSION_S = 1.0  # each read and write of the session store
_MAX_REASON_CHARS = 500
_TOOLS_S = 5.0  # to ask a server what tools it has

Emit = Callable[[AgentEvent], None]


def _ignore_run(_: AgentRun) -> None:
    """Nobody wants to know how runs end."""


def _ignore_call(*_: object) -> None:
    """Nobody wants to know how calls end."""


class DeclaredAgentRunner:
    """A DeclaredAgentClient over a model and tools.

    Args:
        sources: where its tools come from, in the order of the configuration.
        sessions: None: conversations are not kept, and naming one is an error.
        approvals: None: nobody can be asked, and tools that need a person are refused.
        on_end: told of every run that ended or paused, also of one that was cancelled.
    """

    def __init__(
        self,
        config: DeclaredAgent,
        client: ModelClient,
        sources: Sequence[ToolSource] = (),
        *,
        sessions: SessionStore | None = None,
        approvals: Approvals | None = None,
        on_end: Callable[[AgentRun], None] = _ignore_run,
        on_call: OnCall = _ignore_call,
        make_nonce: Callable[[], str] = lambda: secrets.token_hex(_NONCE_BYTES),
    ) -> None:
        self._config = config
        self._client = client
        self._sources = sources
        self._sessions = sessions if config.memory == "session" else None
        self._approvals = approvals
        self._on_end = on_end
        self._on_call = on_call
        self._make_nonce = make_nonce

    async def answer(self, question: AgentQuestion, context: RequestContext) -> AsyncGenerator[AgentEvent]:
        context.deadline.check(self._config.name)
        question = self._checked(question)

        async def work(emit: Emit) -> None:
            run = self._run(f"run_{uuid.uuid4().hex}", question, context, RunState(self._make_nonce()), emit)
            await self._go(run, lambda session: strands_messages(_turns(question, session)))

        async with aclosing(_events(work)) as events:
            async for event in events:
                yield event

    async def resume(self, decision: ApprovalDecision, context: RequestContext) -> AsyncGenerator[AgentEvent]:
        context.deadline.check(self._config.name)
        if self._approvals is None:
            raise NotFound(f"no run of {self._config.name} waits for a decision: none are kept")
        waiting, approves = await self._approvals.decide(self._config.name, decision, context)

        async def work(emit: Emit) -> None:
            from serve_app.agents.loop import Going, Paused

            asked = waiting.state["question"]
            question = AgentQuestion(**{**asked, "history": tuple(asked["history"])})
            state = RunState.from_json(waiting.state["run"])
            run = self._run(waiting.run_id, question, context, state, emit)
            paused = Paused.from_json(waiting.state["paused"])
            going = Going(paused, approves, clean(decision.reason, _MAX_REASON_CHARS))
            await self._go(run, lambda _: going)

        async with aclosing(_events(work)) as events:
            async for event in events:
                yield event

    # ------------------------------------------------------------

    def _checked(self, question: AgentQuestion) -> AgentQuestion:
        limit = self._config.max_question_chars
        if len(question.question) > limit:
            raise BadRequest(
                f"the question has {len(question.question)} characters; the limit is {limit}", "question"
            )
        text = clean(question.question, limit)
        if not text:
            raise BadRequest("the question is empty", "question")
        if question.session_id is not None and self._sessions is None:
            raise BadRequest(f"{self._config.name} keeps no conversations", "session")
        prompts.recent(question.history)  # refuses what is no text
        may_pause = question.may_pause and self._approvals is not None
        return replace(question, question=text, may_pause=may_pause)

    def _run(
        self, run_id: str, question: AgentQuestion, context: RequestContext, state: RunState, emit: Emit
    ) -> AgentRun:
        own = run_context(context, self._config.limits.time_s)
        return AgentRun(run_id, self._config, question, own, state, emit)

    async def _go(self, run: AgentRun, start: Callable[[Session | None], Any]) -> None:
        """Run it from `start`, which is made of the conversation that it goes on with."""
        try:
            session = await self._begin(run)
            await self._loop(run, start(session))
            run.settle()
            if session is not None and run.approval is None:
                await self._remember(run, session)
            self._end(run)
        except asyncio.CancelledError:
            run.is_cancelled = True
            self._on_end(run)
            raise

    async def _begin(self, run: AgentRun) -> Session | None:
        """Tell of the run; the conversation that it goes on with."""
        started = {"run_id": run.run_id, "agent": self._config.name, "model": self._config.model}
        run.emit(AgentEvent("run.started", started))
        sessions = self._sessions
        if sessions is None or run.question.session_id is None:
            return None
        key = _session_key(run)
        try:
            return await within(lambda own: sessions.load(key, own), run.context, _SESSION_S, "session")
        except MantaError as exc:
            run.context.deadline.check("session")
            logger.warning("the session cannot be read: %s", exc)
            run.flag(Flag.SESSION_UNAVAILABLE)
            return None

    async def _tools(self, run: AgentRun) -> list[Tool]:
        """The tools that there are; those that cannot be had are left out, and the answer says so."""
        tools: list[Tool] = []
        for source in self._sources:
            try:
                tools += await within(source.tools, run.context, _TOOLS_S, source.name)
            except MantaError as exc:
                run.context.deadline.check("tools")
                logger.warning("%s goes without %s: %s", self._config.name, source.name, exc)
                run.flag(Flag.TOOLS_UNAVAILABLE)
                run.note(f"The tools of {source.name} cannot be had at the moment.")
        return tools

    async def _loop(self, run: AgentRun, start: Any) -> None:
        """Run it to its answer, its pause or its limit. Of what broke off, the text so far stays.

        Raises:
            MantaError: it broke off before there was any text.
        """
        # Strands is heavy: a replica loads it with its first run.
        from serve_app.agents.loop import run_loop

        try:
            paused = await run_loop(run, self._client, await self._tools(run), start, self._on_call)
        except DeadlineExceeded:
            run.flag(Flag.DEADLINE)
            return
        except MantaError as exc:
            if not run.has_text:
                raise
            logger.warning("%s broke off: %s", self._config.name, exc)
            run.flag(Flag.INTERRUPTED)
            return
        if paused is not None:
            await self._pause(run, paused)

    async def _pause(self, run: AgentRun, paused: Any) -> None:
        approvals = self._approvals
        assert approvals is not None  # else no call waits: see AgentRun.refusal
        state: JsonObject = {
            "question": asdict(run.question),
            # The rest is an answer of its own.
            "run": run.state.to_json() | {"text": ""},
            "paused": asdict(paused),
        }
        ids = tuple(call.id for call in paused.calls)
        waiting = Waiting(run.run_id, self._config.name, ids, state)
        token = await within(
            lambda own: approvals.keep(waiting, run.question.user_id, own),
            run.context,
            _SESSION_S,
            "approval",
        )
        run.approval = {
            "run_id": run.run_id,
            "agent": self._config.name,
            "token": token,
            "expires_in_s": approvals.ttl_s,
            "calls": [call.shown() for call in paused.calls],
        }
        run.emit(AgentEvent("approval.required", run.approval))

    def _end(self, run: AgentRun) -> None:
        cited, final = run.end()
        for citation in cited:
            run.emit(AgentEvent("citation", citation))
        self._on_end(run)
        run.emit(final)

    async def _remember(self, run: AgentRun, session: Session) -> None:
        """Keep the turn.

        Raises:
            Conflict: another turn of the same conversation was faster; this one is not kept.
        """
        sessions = self._sessions
        assert sessions is not None
        turns = (
            {"role": "user", "content": run.question.question},
            {"role": "assistant", "content": run.state.text},
        )
        key = _session_key(run)
        try:
            await within(
                lambda own: sessions.append(key, turns, session, own), run.context, _SESSION_S, "session"
            )
        except Conflict:
            raise
        except MantaError as exc:
            logger.warning("the turn was not kept: %s", exc)
            run.flag(Flag.SESSION_UNAVAILABLE)


async def _events(work: Callable[[Emit], Coroutine[Any, Any, None]]) -> AsyncGenerator[AgentEvent]:
    """What `work` emits while it runs in a task of its own, which ends before this does."""
    events: asyncio.Queue[AgentEvent | None] = asyncio.Queue()  # None: it is over
    task = asyncio.create_task(work(events.put_nowait))
    task.add_done_callback(lambda _: events.put_nowait(None))
    try:
        while (event := await events.get()) is not None:
            yield event
        await task  # its error is ours
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _turns(question: AgentQuestion, session: Session | None) -> list[JsonObject]:
    """What was said before, as far as it fits, and the question. The client's instructions are told elsewhere."""
    before = () if session is None else session.recent()
    recent = [
        turn for turn in prompts.recent((*before, *question.history)) if turn["role"] in ("user", "assistant")
    ]
    summary = [prompts.summarised(session.summary)] if session is not None and session.summary else []
    return [*summary, *recent, {"role": "user", "content": question.question}]


def _session_key(run: AgentRun) -> SessionKey:
    assert run.question.session_id is not None
    return SessionKey(run.context.tenant, run.question.user_id, run.question.session_id)
