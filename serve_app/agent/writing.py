"""The states that write and judge a draft: GENERATE, EVALUATE, REGENERATE."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import aclosing

from serve_app.agent import prompts
from serve_app.agent.budget import within
from serve_app.agent.drafting import ChatModel
from serve_app.agent.fallback import abstain, found_nothing, settle
from serve_app.agent.grade import Verdict
from serve_app.agent.parts import NO_EVENTS, Events, Parts
from serve_app.agent.route import HELP_TEXT, Route
from serve_app.agent.run import Run
from serve_app.agent.states import Flag, Loop, State, WebMode
from serve_app.errors import MantaError
from serve_app.evaluation.base import Assessment, Judge, Metric, Sample
from serve_app.evaluation.gate import AnswerVerdict, Decision, decide, metrics_for
from serve_app.grounding.prompt import render
from serve_app.messages import AgentEvent, JsonObject

logger = logging.getLogger("manta.agent")


class Writing:
    """Writes drafts, and asks the judge about them."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._config = parts.config

    # ------------------------------------------------------------ states

    async def generate(self, run: Run) -> Events:
        messages, models = self._plan(run)
        # Text that has left cannot be taken back, so that any further draft waits for its verdict.
        is_gated = self._is_judged(run) and not run.question.is_optimistic
        run.is_held = is_gated or bool(run.sent)
        run.draft, run.model, run.is_generated = "", None, False
        run.draft_flags.clear()
        async with aclosing(self._parts.drafter.draft(run, messages, models)) as events:
            async for event in events:
                yield event
        if run.model is None and not run.draft:
            self._without_model(run)
        run.move(State.EVALUATE)

    async def regenerate(self, run: Run) -> Events:
        """Another draft, which is told what was wrong; without one the first stays."""
        assert run.decision is not None
        assert run.best is not None
        run.loops += (Loop.REGENERATE,)
        run.is_held, run.draft, run.model = True, "", None
        run.draft_flags.clear()
        history = prompts.again(run.question.question, run.decision.unsupported, run.question.history)
        messages = render(run.question.question, run.sources, self._parts.make_nonce(), history)
        drafter = self._parts.drafter
        async with aclosing(drafter.draft(run, messages, drafter.generative())) as events:
            async for event in events:
                yield event
        if run.model is None:
            run.restore(run.best)
        run.move(State.EVALUATE)

    async def evaluate(self, run: Run) -> Events:
        if not self._is_judged(run) or not run.is_generated or found_nothing(run):
            self._leave_unjudged(run)
            for event in NO_EVENTS:
                yield event
            return
        if run.best is not None and run.best.text == run.draft:
            # The same words again, or none: asking once more would tell nothing new.
            settle(run, self._config)
            run.move(State.GUARD_OUT)
            return
        asked = metrics_for(is_ambiguous=run.verdict is Verdict.AMBIGUOUS)
        assessment = await self._assess(run, asked)
        run.decision = decide(assessment, asked, self._config.gate)
        said: JsonObject = {
            "verdict": str(run.decision.verdict),
            "judge": assessment.judge if assessment else None,
            "evaluator": self._judge.evaluator,
            "metrics": assessment.data() if assessment else {},
        }
        run.evaluations.append(said)
        yield AgentEvent("evaluation", said)
        self._follow(run, run.decision)

    # ------------------------------------------------------------ drafts

    def _plan(self, run: Run) -> tuple[list[JsonObject], tuple[ChatModel, ...]]:
        """What to ask, and which models can be asked it: one that only quotes needs passages."""
        question, history = run.question.question, run.question.history
        drafter = self._parts.drafter
        if run.is_grounded:
            return render(question, run.sources, self._parts.make_nonce(), history), drafter.models
        if run.route is Route.CHITCHAT:
            return prompts.chitchat(question, history), drafter.generative()
        return prompts.ungrounded(question, history), drafter.generative()

    def _without_model(self, run: Run) -> None:
        """No model gave a draft."""
        if run.best is not None:
            run.restore(run.best)  # which EVALUATE knows again
        elif run.is_grounded:
            if self._parts.drafter.quote(run) is None:
                run.flag(Flag.LOW_CONFIDENCE)
                abstain(run)
        elif run.route is Route.CHITCHAT:
            run.draft = HELP_TEXT
        else:
            abstain(run)

    # ------------------------------------------------------------ the gate

    @property
    def _judge(self) -> Judge:
        judge = self._parts.judge
        assert judge is not None  # see `_is_judged`
        return judge

    def _is_judged(self, run: Run) -> bool:
        """Whether the gate looks at this draft: quotes are the passages' own words, small talk has none."""
        return self._parts.judge is not None and run.is_grounded

    def _leave_unjudged(self, run: Run) -> None:
        """There is nothing to judge; a draft that found nothing in the passages may yet find it on the web."""
        if run.is_grounded and found_nothing(run) and self._parts.can_search(run, WebMode.AUGMENT):
            run.web_mode = WebMode.AUGMENT
            run.move(State.WEB)
        else:
            run.move(State.GUARD_OUT)

    async def _assess(self, run: Run, asked: Sequence[Metric]) -> Assessment | None:
        """The judge's scores of the draft as it would leave; None if there are none."""
        judge = self._judge
        contexts = tuple(source.text for source in run.sources)
        sample = Sample(run.question.question, run.guarded(), contexts)
        try:
            assessment = await within(
                lambda own: judge.assess(sample, asked, own),
                run.context,
                self._config.budget.evaluate_s,
                "evaluate",
            )
        except MantaError as exc:
            run.context.deadline.check("evaluate")
            logger.warning("the judge gave no verdict: %s", exc)
            run.count(None)
            return None
        for usage in assessment.usages:
            run.count(usage)
        return assessment

    def _follow(self, run: Run, decision: Decision) -> None:
        if decision.verdict is AnswerVerdict.PASS:
            run.draft_flags.pop(Flag.UNEVALUATED, None)
            run.move(State.GUARD_OUT)
            return
        if decision.verdict is AnswerVerdict.UNKNOWN:
            run.note("No judge gave a verdict on the answer.")
            if self._config.gate.when_unevaluated == "abstain":
                abstain(run, prompts.WITHHELD_ANSWER)
                run.flag(Flag.UNEVALUATED)
            run.move(State.GUARD_OUT)
            return
        run.keep_best()
        loop = Loop.REGENERATE if decision.verdict is AnswerVerdict.UNFAITHFUL else Loop.WEB
        is_open = loop is not Loop.WEB or self._parts.searches(WebMode.AUGMENT)
        if not is_open or not self._parts.can_loop(run, loop):
            settle(run, self._config)
            run.move(State.GUARD_OUT)
        elif loop is Loop.WEB:
            run.web_mode = WebMode.AUGMENT
            run.move(State.WEB)
        else:
            run.move(State.REGENERATE)
