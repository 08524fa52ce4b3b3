"""Fit a calibration of stage A: logistic regression, thresholds, and cross-validation by question.

Regularised logistic regression by Newton's method (iteratively reweighted least squares; Hastie,
Tibshirani, Friedman: The Elements of Statistical Learning, 4.4.1), some thirty lines of numpy, so that
nothing as large as a machine-learning library is installed for it. Both classes weigh the same: which
share of a labelled set is unanswerable says nothing of the questions to come.

Knows nothing of retrieval: examples in, a calibration and its figures out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from serve_app.errors import ConfigError
from serve_app.evaluation.calibration import Calibration, Weight, probability
from serve_app.evaluation.features import FITTED, Features
from serve_app.messages import JsonObject

Floats = NDArray[np.float64]

_RIDGE = (
    10.0  # of the standardised weights; fifty questions tell no more, and with thousands it hardly counts
)
_MAX_STEPS = 50
_TOLERANCE = 1e-9
_MIN_SCALE = 1e-6
_MAX_FOLDS_OF_ONE = 200  # up to so many questions each is a fold of its own
_NUM_FOLDS = 10

# Of the thresholds. Passages of a relevant document must not be thrown away; strangers must not pass.
MIN_TRUE_POSITIVES = 0.99
MAX_FALSE_POSITIVES = 0.10


class Kind(StrEnum):
    """Where an example's passages come from."""

    ANSWERABLE = "answerable"  # what a search found for a question with an answer in the corpus
    UNANSWERABLE = "unanswerable"  # what it found for one without
    GOLD = "gold"  # passages of the question's best documents
    RANDOM = "random"  # passages of other documents, drawn at random


POSITIVE = frozenset({Kind.ANSWERABLE, Kind.GOLD})


@dataclass(frozen=True, slots=True)
class Example:
    """A question with passages, and whether they can answer it."""

    question_id: str
    kind: Kind
    features: Features

    @property
    def is_positive(self) -> bool:
        return self.kind in POSITIVE


@dataclass(frozen=True, slots=True)
class HeldOut:
    """An example and what a calibration that never saw its question says of it."""

    example: Example
    probability: float
    passes: bool  # at or above that calibration's `incorrect_below`
    is_correct: bool  # at or above its `correct_at`


def fit(examples: Sequence[Example], embedding_id: str) -> Calibration:
    """The calibration of these examples. Those without a cosine are left out: they were graded without one.

    Raises:
        ConfigError: there are not both kinds of examples.
    """
    used = [example for example in examples if example.features.value("top_cosine") is not None]
    labels = np.array([example.is_positive for example in used], dtype=float)
    if not 0 < labels.sum() < len(labels):
        raise ConfigError("a calibration needs examples that answer and examples that do not")
    means, rows = _filled([example.features for example in used])
    scales = np.maximum(rows.std(axis=0), _MIN_SCALE)
    solution = _solve((rows - means) / scales, labels)
    weights = solution[1:] / scales
    plain = Calibration(
        embedding_id=embedding_id,
        bias=float(solution[0] - weights @ means),
        weights={
            name: Weight(weight=float(weight), if_missing=float(mean))
            for name, weight, mean in zip(FITTED, weights, means, strict=True)
        },
        correct_at=1.0,
        incorrect_below=0.0,
    )
    return _with_thresholds(plain, used)


def cross_validate(examples: Sequence[Example], embedding_id: str) -> list[HeldOut]:
    """Every example by a calibration that saw none of the same question; thresholds included."""
    held_out: list[HeldOut] = []
    for fold in _folds(examples):
        rest = [example for example in examples if example.question_id not in fold]
        calibration = fit(rest, embedding_id)
        for example in examples:
            chance = probability(example.features, calibration)
            if example.question_id in fold and chance is not None:
                passes, is_correct = chance >= calibration.incorrect_below, chance >= calibration.correct_at
                held_out.append(HeldOut(example, chance, passes, is_correct))
    return held_out


def figures(held_out: Sequence[HeldOut]) -> JsonObject:
    """Areas under the ROC curve and rates at the thresholds; absent where a kind of example is."""
    by_kind = {kind: [one for one in held_out if one.example.kind is kind] for kind in Kind}
    found: JsonObject = {}
    for name, good, bad in (
        ("answerable_vs_unanswerable", Kind.ANSWERABLE, Kind.UNANSWERABLE),
        ("gold_vs_random", Kind.GOLD, Kind.RANDOM),
    ):
        yes, no = by_kind[good], by_kind[bad]
        if yes and no:
            found[name] = {
                "num_positive": len(yes),
                "num_negative": len(no),
                "roc_auc": round(roc_auc([o.probability for o in yes], [o.probability for o in no]), 4),
                "true_positive_rate": round(_share([o.passes for o in yes]), 4),
                "false_positive_rate": round(_share([o.passes for o in no]), 4),
                "true_positive_rate_correct": round(_share([o.is_correct for o in yes]), 4),
                "false_positive_rate_correct": round(_share([o.is_correct for o in no]), 4),
            }
    return found


def roc_auc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """The chance that a positive example has the higher value; ties count half."""
    high, low = np.asarray(positive)[:, None], np.asarray(negative)[None, :]
    return float((high > low).mean() + 0.5 * (high == low).mean())


def _filled(features: Sequence[Features]) -> tuple[Floats, Floats]:
    """((n_features,) means, (n_examples, n_features) values); a missing value is the feature's mean."""
    values = [[one.value(name) for name in FITTED] for one in features]
    rows = np.array(values, dtype=float)  # None becomes NaN
    known = ~np.isnan(rows)
    means = np.where(known, rows, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return means, np.where(known, rows, means)


def _solve(rows: Floats, labels: Floats) -> Floats:
    """(1 + n_features,) bias and weights of standardised rows, ridge on the weights alone."""
    design = np.hstack([np.ones((len(rows), 1)), rows])
    share = labels.mean()
    per_example = np.where(labels > 0, 0.5 / share, 0.5 / (1.0 - share))
    ridge = np.diag([0.0] + [_RIDGE] * rows.shape[1])
    solution = np.zeros(design.shape[1])
    for _ in range(_MAX_STEPS):
        chances = 1.0 / (1.0 + np.exp(-design @ solution))
        gradient = design.T @ (per_example * (labels - chances)) - ridge @ solution
        curvature = (design.T * (per_example * chances * (1.0 - chances))) @ design + ridge
        step = np.linalg.solve(curvature + _TOLERANCE * np.eye(len(solution)), gradient)
        solution = solution + step
        if float(np.abs(step).max()) < _TOLERANCE:
            break
    return solution


def _with_thresholds(calibration: Calibration, examples: Sequence[Example]) -> Calibration:
    """Thresholds from the examples themselves.

    `incorrect_below`: in the middle of the gap below the positive examples' lowest per cent, down to the
    next negative example. `correct_at`: the lowest that lets at most a tenth of the negative examples pass.
    """
    scored = [(probability(one.features, calibration) or 0.0, one.is_positive) for one in examples]
    yes = np.sort([chance for chance, is_positive in scored if is_positive])
    no = np.sort([chance for chance, is_positive in scored if not is_positive])
    lowest = float(yes[int((1.0 - MIN_TRUE_POSITIVES) * len(yes))])
    below = no[no < lowest]
    incorrect_below = (lowest + float(below[-1])) / 2 if len(below) else lowest
    at = float(no[min(len(no) - 1, int((1.0 - MAX_FALSE_POSITIVES) * len(no)))])
    correct_at = max(incorrect_below, float(np.nextafter(at, 1.0)))
    return calibration.model_copy(
        update={"incorrect_below": round(incorrect_below, 6), "correct_at": round(correct_at, 6)}
    )


def _folds(examples: Sequence[Example]) -> list[frozenset[str]]:
    """Sets of questions that are held out together; the order of the examples decides which."""
    ids = list(dict.fromkeys(example.question_id for example in examples))
    num = len(ids) if len(ids) <= _MAX_FOLDS_OF_ONE else _NUM_FOLDS
    return [frozenset(ids[at::num]) for at in range(num)]


def _share(flags: Sequence[bool]) -> float:
    return sum(flags) / len(flags)
