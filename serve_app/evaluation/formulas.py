"""How scores come from a judge's verdicts. Pure; definitions as RAGAS 0.4 has them, from 0 to 1.

https://docs.ragas.io/en/stable/concepts/metrics/available_metrics/
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from serve_app.messages import Vectors

_TOP_RATING = 2


def supported_share(verdicts: Sequence[bool]) -> float | None:
    """Faithfulness and context recall: supported statements by all; None if there are none."""
    return sum(verdicts) / len(verdicts) if verdicts else None


def answer_relevancy(question: Vectors, guessed: Vectors, *, is_noncommittal: bool) -> float:
    """Mean cosine of the question and those that the answer seems to answer; 0 if it evades.

    Args:
        question: (dim,) L2-normalised.
        guessed: (n, dim) L2-normalised.
        is_noncommittal: the answer says that it does not know.
    """
    if is_noncommittal:
        return 0.0
    # Rounding may carry a cosine over 1; one below 0 means nothing in common.
    return float(np.clip((guessed @ question).mean(), 0.0, 1.0))


def mean_rating(ratings: Sequence[int]) -> float | None:
    """Context relevance and response groundedness: ratings 0, 1, 2 of several prompts, as a share of 2."""
    if not ratings or any(not 0 <= rating <= _TOP_RATING for rating in ratings):
        return None
    return sum(ratings) / len(ratings) / _TOP_RATING


def average_precision(verdicts: Sequence[bool]) -> float | None:
    """Context precision: mean of precision@k over the ranks k of useful passages; 0 if none is useful."""
    if not verdicts:
        return None
    precisions = [sum(verdicts[: k + 1]) / (k + 1) for k, is_useful in enumerate(verdicts) if is_useful]
    return sum(precisions) / len(precisions) if precisions else 0.0


def f1(answer_in_reference: Sequence[bool], reference_in_answer: Sequence[bool]) -> float | None:
    """Factual correctness: claims of the answer that the reference supports, and the other way round."""
    if not answer_in_reference or not reference_in_answer:
        return None
    true_positives = sum(answer_in_reference)
    false_positives = len(answer_in_reference) - true_positives
    false_negatives = len(reference_in_answer) - sum(reference_in_answer)
    return true_positives / (true_positives + 0.5 * (false_positives + false_negatives))
