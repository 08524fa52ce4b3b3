"""The contract of a judge: scores of one answer. What follows from them is decided in `gate`.

A score that could not be had is unknown, with the reason: never 0, and never a pass.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from serve_app.messages import JsonObject, RequestContext


class Metric(StrEnum):
    """What can be said of an answer, each from 0 to 1. Definitions: `serve_app.evaluation.formulas`."""

    FAITHFULNESS = "faithfulness"
    ANSWER_RELEVANCY = "answer_relevancy"
    CONTEXT_RELEVANCE = "context_relevance"
    RESPONSE_GROUNDEDNESS = "response_groundedness"
    CONTEXT_PRECISION = "context_precision"
    CONTEXT_RECALL = "context_recall"  # needs a reference
    FACTUAL_CORRECTNESS = "factual_correctness"  # needs a reference


NEED_REFERENCE = frozenset({Metric.CONTEXT_RECALL, Metric.FACTUAL_CORRECTNESS})


@dataclass(frozen=True, slots=True)
class Sample:
    """What is judged. Everything but the question is untrusted text."""

    question: str
    answer: str
    contexts: tuple[str, ...]  # the passages that the answer was made from
    reference: str | None = None  # a right answer, where one is known


@dataclass(frozen=True, slots=True)
class Score:
    """One metric of one answer."""

    value: float | None  # 0..1; None: unknown
    reason: str = ""  # why it is unknown
    unsupported: tuple[str, ...] = ()  # claims that no context supports (faithfulness)

    @classmethod
    def of(cls, value: float, unsupported: Sequence[str] = ()) -> Score:
        """The score; unknown if the value is no number from 0 to 1."""
        if not (math.isfinite(value) and 0.0 <= value <= 1.0):
            return cls(None, f"the judge gave {value}, which is no score")
        return cls(value, unsupported=tuple(unsupported))


@dataclass(frozen=True, slots=True)
class Assessment:
    """What a judge says of an answer."""

    judge: str  # the model's name
    scores: Mapping[Metric, Score]  # of the metrics that were asked for
    usages: tuple[JsonObject | None, ...] = field(default=())  # of each model call; None: not told

    def value(self, metric: Metric) -> float | None:
        """The metric's value; None if it is unknown, was not asked for, or is no number from 0 to 1."""
        score = self.scores.get(metric)
        return None if score is None or score.value is None else Score.of(score.value).value

    def data(self) -> JsonObject:
        """For the client's `evaluation` event."""
        return {
            str(metric): {"value": self.value(metric), **({"reason": score.reason} if score.reason else {})}
            for metric, score in self.scores.items()
        }


class Judge(Protocol):
    """Scores answers."""

    @property
    def name(self) -> str:
        """The model that judges."""
        ...

    @property
    def evaluator(self) -> str:
        """Whose prompts and formulas it is asked with: `builtin`, or RAGAS' with the version."""
        ...

    async def assess(self, sample: Sample, metrics: Sequence[Metric], context: RequestContext) -> Assessment:
        """Scores of these metrics; one that fails alone is unknown, with its reason.

        Raises:
            MantaError: the judge is down, or answered none of the metrics.
        """
        ...
