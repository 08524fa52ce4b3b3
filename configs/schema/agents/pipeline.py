"""The agent pipeline."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from configs.schema.base import Fraction, Name, Strict
from configs.schema.scaling import ScalingConfig


class BudgetConfig(Strict):
    """Seconds that an answer and each of its stages may take; what remains of the whole always bounds a stage."""

    total_s: float = Field(default=30.0, gt=0, description="The whole answer.")
    route_s: float = Field(default=1.0, gt=0, description="Routing by a model, where one is configured.")
    retrieve_s: float = Field(default=2.0, gt=0, description="Retrieval, embedding included.")
    rewrite_s: float = Field(default=2.0, gt=0, description="Rewriting the question for another search.")
    web_s: float = Field(default=6.0, gt=0, description="Web search.")
    first_token_s: float = Field(default=8.0, gt=0, description="Until the chat model's first token.")
    evaluate_s: float = Field(default=6.0, gt=0, description="The judge, each time that it is asked.")
    session_s: float = Field(default=1.0, gt=0, description="Each read and write of the session store.")
    min_loop_s: float = Field(
        default=2.0, ge=0, description="With less time left no further rewrite, web round or draft is begun."
    )


class GateConfig(Strict):
    """The quality gate.

    Stage A: is the question answerable from what was retrieved? Compared with a probability made from
    the retrieval's features, never with the RRF score. Stage B: does the judge find the answer good?
    """

    correct_at: Fraction | None = Field(
        default=None,
        description="From this probability on the passages are used as they are. None: the calibration's own"
        " threshold, 0.6 without a calibration.",
    )
    incorrect_below: Fraction | None = Field(
        default=None,
        description="Below this probability the passages are not used. None: the calibration's own threshold,"
        " 0.25 without a calibration.",
    )
    calibration: str | None = Field(
        default=None,
        description="File that `manta evaluate calibrate` wrote. None: coefficients set by judgement. With one of"
        " another embedder every verdict is ambiguous and answers are flagged `uncalibrated`.",
    )
    faithfulness_at: Fraction = Field(
        default=0.8, description="Share of the answer's claims that the passages must support."
    )
    abstain_below: Fraction = Field(
        default=0.5, description="Below this share, and with no further draft left, the answer is withheld."
    )
    answer_relevancy_at: Fraction = Field(
        default=0.7, description="How well the answer must fit the question."
    )
    context_relevance_at: Fraction = Field(
        default=0.5, description="How well the passages must fit the question; asked if stage A is in doubt."
    )
    when_unevaluated: Literal["flag", "abstain"] = Field(
        default="flag", description="What becomes of an answer on which a configured judge gave no verdict."
    )

    @model_validator(mode="after")
    def _order(self) -> GateConfig:
        low, high = self.incorrect_below, self.correct_at
        if low is not None and high is not None and low > high:
            raise ValueError(f"incorrect_below {low} is above correct_at {high}")
        if self.abstain_below > self.faithfulness_at:
            raise ValueError(
                f"abstain_below {self.abstain_below} is above faithfulness_at {self.faithfulness_at}"
            )
        return self


class AgentConfig(Strict):
    """The agent pipeline: questions in, cited answers out."""

    name: Name = Field(default="manta", description="What clients write into `model` to ask the agent.")
    models: tuple[Name, ...] = Field(
        min_length=1,
        description="Chat models in order of preference: the first that is there answers, the next are its fallbacks.",
    )
    judge: Name | None = Field(
        default=None,
        description="Chat model that judges answers before they leave, better another one than those that write."
        " None: answers carry the flag `unevaluated`.",
    )
    evaluator: Literal["auto", "builtin", "ragas"] = Field(
        default="auto",
        description="Whose prompts and metrics the judge is asked with: Manta's own (`builtin`), those of RAGAS 0.4, "
        "which `make ragas` installs, or `auto`: RAGAS' where it is installed. Answers and reports say which.",
    )
    helper: Name | None = Field(
        default=None,
        description="Chat model, a small one, that routes questions which no rule knows, and rewrites those that"
        " found nothing. None: rules only, and no rewriting.",
    )
    task_agent: Name | None = Field(
        default=None,
        description="Declared agent that questions of the route `task` go to. None: there is no such route.",
    )
    task_words: tuple[str, ...] = Field(
        default=(),
        description="Words or phrases that make a question a task where it holds one; the helper finds others.",
    )
    max_loops: int = Field(
        default=3,
        ge=0,
        le=3,
        description="Rewrites, web rounds and further drafts of one answer, all together; each at most once.",
    )
    num_passages: int = Field(default=6, ge=1, le=50, description="Passages in the prompt.")
    joins_neighbours: bool = Field(
        default=False, description="Put passages that follow each other in a document into the prompt as one."
    )
    max_question_chars: int = Field(default=8000, ge=16, description="Longest question.")
    max_answer_tokens: int = Field(default=400, ge=16, description="Longest answer, in tokens.")
    temperature: float = Field(default=0.0, ge=0.0, le=2.0, description="Of the answering model.")
    abstain_when_incorrect: bool = Field(
        default=True,
        description="Say that the documents have no answer, with the nearest sources, instead of guessing.",
    )
    withhold_at: Fraction = Field(
        default=0.8,
        gt=0,
        description="Passages whose text looks this much like instructions to a model (0 to 1) are not used.",
    )
    budget: BudgetConfig = Field(default=BudgetConfig(), description="Time limits.")
    gate: GateConfig = Field(default=GateConfig(), description="Thresholds of the gate.")
    scaling: ScalingConfig = Field(default=ScalingConfig(), description="Replicas and limits.")

    @model_validator(mode="after")
    def _tasks(self) -> AgentConfig:
        if self.task_words and self.task_agent is None:
            raise ValueError("task_words needs a task_agent")
        return self

    def model_names(self) -> tuple[str, ...]:
        """Every chat model that the agent calls, each once."""
        return tuple(dict.fromkeys(name for name in (*self.models, self.judge, self.helper) if name))
