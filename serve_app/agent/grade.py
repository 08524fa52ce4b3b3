"""Stage A of the gate: can the question be answered from what was retrieved?

Looks at the retrieval alone, without a judge, and never at the RRF score, which says how passages
rank and not whether they fit.

    p = 1 / (1 + exp(-(BIAS + COSINE * top_cosine + COVERAGE * coverage + AGREEMENT * agreement)))

The coefficients below are a starting point by judgement, not a calibration: a fit on labelled
questions replaces them, for one embedding model at a time. The margin is measured and not weighed:
on MedQuAD, where several documents answer a question, it told less than chance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from configs.schema import GateConfig
from serve_app.grounding.terms import terms
from serve_app.messages import JsonObject, Passage

# Set for all-MiniLM-L6-v2, whose best cosines are near 0.6 for passages that answer, below 0.3 for strangers.
BIAS = -4.8
COSINE = 8.0
COVERAGE = 2.0
AGREEMENT = 0.8


class Verdict(StrEnum):
    """What to do with the passages: use them, use them with doubt, or not."""

    CORRECT = "correct"
    AMBIGUOUS = "ambiguous"
    INCORRECT = "incorrect"


@dataclass(frozen=True, slots=True)
class Features:
    """What the retrieval looks like; None where a leg did not run."""

    num_passages: int
    top_cosine: float | None  # highest of the passages
    margin: float | None  # highest less the mean of the others; None with a single passage
    agreement: float | None  # part of the passages that both legs found
    coverage: float | None  # part of the question's content words in the best passage; None: it has none


@dataclass(frozen=True, slots=True)
class Grade:
    """The verdict and what it rests on."""

    verdict: Verdict
    probability: float | None  # that the passages answer; None: there was no cosine to tell by
    features: Features

    def data(self) -> JsonObject:
        """For the client's `grade` event."""
        features = self.features
        return {
            "verdict": str(self.verdict),
            "features": {
                "num_passages": features.num_passages,
                "top_cosine": features.top_cosine,
                "margin": features.margin,
                "agreement": features.agreement,
                "coverage": features.coverage,
                "probability": self.probability,
            },
        }


def grade(question: str, passages: Sequence[Passage], gate: GateConfig) -> Grade:
    """No passages are incorrect; passages without a cosine (lexical search only) are ambiguous."""
    features = measure(question, passages)
    if not passages:
        return Grade(Verdict.INCORRECT, 0.0, features)
    chance = probability(features)
    if chance is None:
        return Grade(Verdict.AMBIGUOUS, None, features)
    if chance >= gate.correct_at:
        return Grade(Verdict.CORRECT, chance, features)
    return Grade(Verdict.INCORRECT if chance < gate.incorrect_below else Verdict.AMBIGUOUS, chance, features)


def measure(question: str, passages: Sequence[Passage]) -> Features:
    coverage = _coverage(question, passages)
    cosines = sorted((p.cosine for p in passages if p.cosine is not None), reverse=True)
    if not cosines:
        return Features(len(passages), None, None, None, coverage)
    others = cosines[1:]
    found_by_both = sum(p.cosine is not None and p.bm25 is not None for p in passages)
    return Features(
        num_passages=len(passages),
        top_cosine=cosines[0],
        margin=cosines[0] - sum(others) / len(others) if others else None,
        agreement=found_by_both / len(passages),
        coverage=coverage,
    )


def _coverage(question: str, passages: Sequence[Passage]) -> float | None:
    """Of the passage that has most of the question's content words, its title and headings included."""
    wanted = frozenset(terms(question))
    if not wanted:
        return None
    texts = (" ".join((p.title, *p.headings, p.text)) for p in passages)
    return max((len(wanted & frozenset(terms(text))) / len(wanted) for text in texts), default=0.0)


def probability(features: Features) -> float | None:
    """The logistic of the features; one that is missing contributes nothing. None without a cosine."""
    if features.top_cosine is None or not math.isfinite(features.top_cosine):
        return None
    logit = BIAS + COSINE * features.top_cosine
    logit += COVERAGE * (features.coverage or 0.0) + AGREEMENT * (features.agreement or 0.0)
    return 1.0 / (1.0 + math.exp(-logit))
