"""Features of a retrieval, for stage A of the gate: numbers that tell passages which answer from others.

Never the RRF score, which says how passages rank and not whether they fit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from serve_app.grounding.terms import terms
from serve_app.messages import Passage


@dataclass(frozen=True, slots=True)
class Features:
    """What the retrieval looks like; None where a leg did not run or there is nothing to measure."""

    num_passages: int
    top_cosine: float | None  # highest of the passages
    margin: float | None  # highest less the mean of the others; None with a single passage
    agreement: float | None  # part of the passages that both legs found
    coverage: float | None  # part of the question's content that the best passage has; None: it has none
    mean_cosine: float | None = None  # of the passages that have one
    mean_bm25: float | None = None  # of all passages; one that the lexical leg did not find adds nothing
    top_rerank: float | None = None  # highest of the reranker's scores; None: none looked at them

    def value(self, name: str) -> float | None:
        """A feature by name; None if it is missing or no finite number."""
        found = getattr(self, name)
        return None if found is None or not math.isfinite(found) else float(found)


# Those that a fit weighs. Few, because labelled questions are few: on MedQuAD's fifty-one each of the others
# made the cross-validated area smaller. A calibration by hand may weigh any.
FITTED = ("mean_cosine", "mean_bm25", "coverage")
NAMES = ("top_cosine", "margin", "agreement", "top_rerank", *FITTED)


def measure(question: str, passages: Sequence[Passage]) -> Features:
    coverage = _coverage(question, passages)
    cosines = sorted((p.cosine for p in passages if p.cosine is not None), reverse=True)
    top_rerank = max((p.rerank for p in passages if p.rerank is not None), default=None)
    if not cosines:
        return Features(len(passages), None, None, None, coverage, top_rerank=top_rerank)
    others = cosines[1:]
    found_by_both = sum(p.cosine is not None and p.bm25 is not None for p in passages)
    return Features(
        num_passages=len(passages),
        top_cosine=cosines[0],
        margin=cosines[0] - sum(others) / len(others) if others else None,
        agreement=found_by_both / len(passages),
        coverage=coverage,
        mean_cosine=sum(cosines) / len(cosines),
        mean_bm25=sum(p.bm25 or 0.0 for p in passages) / len(passages),
        top_rerank=top_rerank,
    )


def _coverage(question: str, passages: Sequence[Passage]) -> float | None:
    """The best passage's part of the question's content words, its title and headings included.

    A word weighs the square of its length: long words are rare ones, and say what the question is about.
    """
    weights = {word: len(word) ** 2 for word in terms(question)}
    if not weights:
        return None
    texts = (" ".join((p.title, *p.headings, p.text)) for p in passages)
    found = (sum(weights[word] for word in weights.keys() & frozenset(terms(text))) for text in texts)
    return max(found, default=0) / sum(weights.values())
