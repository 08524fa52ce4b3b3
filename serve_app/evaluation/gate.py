"""Stage B of the gate: what follows from a judge's scores. Pure.

pass        every score that was asked for is known and at its threshold or above
unfaithful  faithfulness is known and below its threshold
off_topic   faithful, but the answer does not fit the question, or the passages do not
unknown     the judge did not answer, or left out a score: never a pass
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from configs.schema import GateConfig
from serve_app.evaluation.base import Assessment, Metric

_BASIC = (Metric.FAITHFULNESS, Metric.ANSWER_RELEVANCY)


class AnswerVerdict(StrEnum):
    """What the gate says of an answer."""

    PASS = "pass"  # noqa: S105 (no password)
    UNFAITHFUL = "unfaithful"
    OFF_TOPIC = "off_topic"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict and what the next stage needs of it."""

    verdict: AnswerVerdict
    is_hopeless: bool = False  # so unfaithful that it must not leave
    faithfulness: float | None = None  # orders drafts; None: unknown
    unsupported: tuple[str, ...] = ()  # claims to leave out of the next draft


def metrics_for(*, is_ambiguous: bool) -> tuple[Metric, ...]:
    """What the judge is asked: whether the passages fit is worth a call only where stage A was in doubt."""
    return (*_BASIC, Metric.CONTEXT_RELEVANCE) if is_ambiguous else _BASIC


def decide(assessment: Assessment | None, asked: tuple[Metric, ...], gate: GateConfig) -> Decision:
    """The gate's decision; `assessment` is None if the judge failed."""
    if assessment is None:
        return Decision(AnswerVerdict.UNKNOWN)
    faithfulness = assessment.value(Metric.FAITHFULNESS)
    if faithfulness is not None and faithfulness < gate.faithfulness_at:
        return Decision(
            AnswerVerdict.UNFAITHFUL,
            faithfulness < gate.abstain_below,
            faithfulness,
            assessment.scores[Metric.FAITHFULNESS].unsupported,
        )
    at = {
        Metric.ANSWER_RELEVANCY: gate.answer_relevancy_at,
        Metric.CONTEXT_RELEVANCE: gate.context_relevance_at,
    }
    values = {metric: assessment.value(metric) for metric in asked}
    if any(value is not None and value < at.get(metric, 0.0) for metric, value in values.items()):
        return Decision(AnswerVerdict.OFF_TOPIC, faithfulness=faithfulness)
    if None in values.values():
        return Decision(AnswerVerdict.UNKNOWN, faithfulness=faithfulness)
    return Decision(AnswerVerdict.PASS, faithfulness=faithfulness)
