"""Stage A's verdict: what to do with the passages that were retrieved. Looks at no answer and asks no model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

from configs.schema import GateConfig
from serve_app.evaluation.calibration import JUDGEMENT, Calibration, probability
from serve_app.evaluation.features import Features, measure
from serve_app.messages import JsonObject, Passage


class Verdict(StrEnum):
    """What to do with the passages: use them, use them with doubt, or not."""

    CORRECT = "correct"
    AMBIGUOUS = "ambiguous"
    INCORRECT = "incorrect"


@dataclass(frozen=True, slots=True)
class Grade:
    """The verdict and what it rests on."""

    verdict: Verdict
    probability: float | None  # that the passages answer; None: there was nothing to tell by
    features: Features
    calibration: (
        str | None
    )  # the embedder that it was fitted for; None: coefficients set by judgement, or none

    def data(self) -> JsonObject:
        """For the client's `grade` event."""
        return {
            "verdict": str(self.verdict),
            "features": {**asdict(self.features), "probability": self.probability},
            "calibration": self.calibration,
        }


def grade(
    question: str, passages: Sequence[Passage], gate: GateConfig, calibration: Calibration | None = JUDGEMENT
) -> Grade:
    """No passages are incorrect; without a cosine (lexical search only) or a calibration that fits, ambiguous."""
    features = measure(question, passages)
    fitted_for = (calibration.embedding_id or None) if calibration else None
    if not passages:
        return Grade(Verdict.INCORRECT, 0.0, features, fitted_for)
    chance = probability(features, calibration) if calibration else None
    if calibration is None or chance is None:
        return Grade(Verdict.AMBIGUOUS, None, features, fitted_for)
    correct_at = calibration.correct_at if gate.correct_at is None else gate.correct_at
    incorrect_below = calibration.incorrect_below if gate.incorrect_below is None else gate.incorrect_below
    if chance < incorrect_below:
        verdict = Verdict.INCORRECT
    else:
        verdict = Verdict.CORRECT if chance >= correct_at else Verdict.AMBIGUOUS
    return Grade(verdict, chance, features, fitted_for)
