"""The agent pipeline."""

from __future__ import annotations

from pydantic import Field, model_validator

from configs.schema.base import Fraction, Name, Strict
from configs.schema.scaling import ScalingConfig


class BudgetConfig(Strict):
    """Seconds that an answer and each of its stages may take; what remains of the whole always bounds a stage."""

    total_s: float = Field(default=30.0, gt=0, description="The whole answer.")
    retrieve_s: float = Field(default=2.0, gt=0, description="Retrieval, embedding included.")
    first_token_s: float = Field(default=8.0, gt=0, description="Until the chat model's first token.")


class GateConfig(Strict):
    """Stage A of the quality gate: is the question answerable from what was retrieved?

    Compared with a probability made from the retrieval's features, never with the RRF score.
    """

    correct_at: Fraction = Field(default=0.6, description="From here on the passages are used as they are.")
    incorrect_below: Fraction = Field(default=0.25, description="Below it the passages are not used.")

    @model_validator(mode="after")
    def _order(self) -> GateConfig:
        if self.incorrect_below > self.correct_at:
            raise ValueError(f"incorrect_below {self.incorrect_below} is above correct_at {self.correct_at}")
        return self


class AgentConfig(Strict):
    """The agent pipeline: questions in, cited answers out."""

    name: Name = Field(default="manta", description="What clients write into `model` to ask the agent.")
    models: tuple[Name, ...] = Field(
        min_length=1,
        description="Chat models in order of preference: the first that is there answers, the next are its fallbacks.",
    )
    num_passages: int = Field(default=6, ge=1, le=50, description="Passages in the prompt.")
    max_question_chars: int = Field(default=8000, ge=16, description="Longest question.")
    max_answer_tokens: int = Field(default=400, ge=16, description="Longest answer, in tokens.")
    temperature: float = Field(default=0.0, ge=0.0, le=2.0, description="Of the answering model.")
    abstain_when_incorrect: bool = Field(
        default=True,
        description="Say that the documents have no answer, with the nearest sources, instead of guessing.",
    )
    budget: BudgetConfig = Field(default=BudgetConfig(), description="Time limits.")
    gate: GateConfig = Field(default=GateConfig(), description="Thresholds of the context gate.")
    scaling: ScalingConfig = Field(default=ScalingConfig(), description="Replicas and limits.")
