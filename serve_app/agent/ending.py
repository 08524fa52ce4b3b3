"""The last states of a run: DEADLINE, GUARD_OUT, and what is kept of it after FINAL."""

from __future__ import annotations

import logging

from serve_app.agent import prompts
from serve_app.agent.budget import within
from serve_app.agent.fallback import abstain, settle, show_nearest
from serve_app.agent.grade import Verdict
from serve_app.agent.opening import session_key
from serve_app.agent.parts import NO_EVENTS, Events, Parts
from serve_app.agent.run import Run
from serve_app.agent.states import Flag, State
from serve_app.errors import Conflict, MantaError, StorageFull
from serve_app.grounding.prompt import NOTHING_FITS
from serve_app.messages import AgentEvent

logger = logging.getLogger("manta.agent")


class Ending:
    """Lets an answer leave: the best there is, without what may not leave."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._config = parts.config

    async def deadline(self, run: Run) -> Events:
        """The time is over. The best draft so far: judged, then unjudged, then quotes; else an abstention."""
        gate = self._config.gate
        may_leave_unjudged = self._parts.judge is None or gate.when_unevaluated == "flag"
        has_text = run.model is not None and bool(run.guarded().strip()) and not run.is_abstained
        if run.best is not None and (run.best.faithfulness or 0.0) >= gate.abstain_below:
            settle(run, self._config)
        elif not has_text or not may_leave_unjudged or run.best is not None:
            self._quote_or_abstain(run)
        run.flag_draft(Flag.DEADLINE)
        run.move(State.GUARD_OUT)
        for event in NO_EVENTS:
            yield event

    async def guard(self, run: Run) -> Events:
        if run.is_grounded and run.draft.strip() == NOTHING_FITS:
            run.is_abstained = True
            run.flag(Flag.LOW_CONFIDENCE)
            show_nearest(run)
        run.draft = run.draft.rstrip()
        clean = run.guarded()
        if clean.startswith(run.sent):
            if text := clean[len(run.sent) :]:
                yield AgentEvent("answer.delta", {"text": text})
        else:
            yield AgentEvent("answer.revised", {"text": clean})
        run.draft = run.sent = clean
        if run.is_grounded and not run.is_abstained and not run.citations():
            run.flag_draft(Flag.UNCITED)
        if not run.is_abstained and any(one["source"] in run.stale_sources for one in run.citations()):
            run.flag(Flag.STALE_SOURCE)
        run.move(State.FINAL)

    async def remember(self, run: Run) -> None:
        """Keep the turn, if it belongs to a conversation.

        Raises:
            Conflict: another turn of the same conversation was faster; this one is not kept.
        """
        sessions, basis = self._parts.sessions, run.session
        if sessions is None or basis is None:
            return
        key = session_key(run.question, run.context)
        turns = (
            {"role": "user", "content": run.question.question},
            {"role": "assistant", "content": run.draft},
        )
        try:
            await within(
                lambda own: sessions.append(key, turns, basis, own),
                run.context,
                self._config.budget.session_s,
                "session",
            )
        except Conflict:
            raise
        except StorageFull as exc:
            run.note(f"The turn was not kept: {exc.message}.")
            run.flag(Flag.SESSION_UNAVAILABLE)
        except MantaError as exc:
            logger.warning("the turn was not kept: %s", exc)
            run.flag(Flag.SESSION_UNAVAILABLE)

    def _quote_or_abstain(self, run: Run) -> None:
        """Quotes take no time: with passages that were not judged to miss they are the best there is."""
        fits = bool(run.sources) and run.verdict is not Verdict.INCORRECT
        if fits and self._parts.drafter.quote(run) is not None:
            run.is_grounded = True
            return
        abstain(run, prompts.OUT_OF_TIME)
