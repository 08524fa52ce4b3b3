"""Quality of one ranking against judgements. Defined as trec_eval does (linear gain, log2 discount).

Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", ACM TOIS 20(4), 2002.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

CUTOFF = 10


def ndcg(ranking: Sequence[str], grades: Mapping[str, int], k: int = CUTOFF) -> float:
    """Sum of grade / log2(rank + 1) over the first k, divided by that of the best possible ranking; 0..1."""
    gained = _dcg([grades.get(document, 0) for document in ranking[:k]])
    return gained / _dcg(sorted(grades.values(), reverse=True)[:k])


def recall(ranking: Sequence[str], grades: Mapping[str, int], k: int = CUTOFF) -> float:
    """Share of the relevant documents that are among the first k; 0..1."""
    relevant = {document for document, grade in grades.items() if grade > 0}
    return len(relevant.intersection(ranking[:k])) / len(relevant)


def reciprocal_rank(ranking: Sequence[str], grades: Mapping[str, int], k: int = CUTOFF) -> float:
    """1 / rank of the first relevant document among the first k, else 0. Its mean is MRR@k."""
    for rank, document in enumerate(ranking[:k], start=1):
        if grades.get(document, 0) > 0:
            return 1.0 / rank
    return 0.0


def _dcg(gains: Sequence[int]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))
