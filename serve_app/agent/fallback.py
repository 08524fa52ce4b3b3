"""What is said when there is no good answer: abstentions, and drafts that are the best there is. Pure."""

from __future__ import annotations

from configs.schema import AgentConfig
from serve_app.agent import prompts
from serve_app.agent.parts import Parts
from serve_app.agent.run import Run
from serve_app.agent.states import Flag, State, WebMode
from serve_app.grounding.prompt import NOTHING_FITS

_NUM_NEAREST = 3  # sources that an abstention shows


def abstain(run: Run, text: str | None = None) -> None:
    run.abstain(text or (prompts.ABSTAINED_WITH_SOURCES if run.sources else prompts.ABSTAINED))
    show_nearest(run)


def show_nearest(run: Run) -> None:
    run.passages, run.sources = run.passages[:_NUM_NEAREST], run.sources[:_NUM_NEAREST]


def found_nothing(run: Run) -> bool:
    """Whether the draft itself says that nothing it was shown answers the question."""
    return run.is_generated and run.draft.strip() == NOTHING_FITS


def without_passages(run: Run, parts: Parts) -> None:
    """Nothing in the documents answers: on to the web, to a model alone, or to an abstention."""
    if parts.can_search(run, WebMode.REPLACE):
        run.web_mode = WebMode.REPLACE
        run.move(State.WEB)
        return
    is_down = Flag.KB_UNAVAILABLE in run.flags
    if not is_down:
        run.flag(Flag.LOW_CONFIDENCE)
    if parts.config.abstain_when_incorrect or not parts.drafter.generative():
        abstain(run, prompts.KB_UNAVAILABLE if is_down else None)
        run.move(State.GUARD_OUT)
        return
    # Below the threshold the passages are not used, neither as sources nor in the prompt.
    run.passages, run.sources, run.is_grounded = (), (), False
    run.flag(Flag.UNGROUNDED)
    run.move(State.GENERATE)


def settle(run: Run, config: AgentConfig) -> None:
    """No further draft will be made: the best of those that were judged leaves, or none does."""
    assert run.best is not None
    faithfulness = run.best.faithfulness
    run.restore(run.best)
    if faithfulness is not None:
        run.draft_flags.pop(Flag.UNEVALUATED, None)
    run.flag(Flag.LOW_CONFIDENCE)
    # A judge that knew the answer to be off the question may still not know whether it is faithful.
    is_unjudged = faithfulness is None and config.gate.when_unevaluated == "abstain"
    if is_unjudged or (faithfulness is not None and faithfulness < config.gate.abstain_below):
        abstain(run, prompts.WITHHELD_ANSWER)
