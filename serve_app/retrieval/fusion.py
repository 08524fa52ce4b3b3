"""Reciprocal rank fusion: one ranking out of several, from ranks alone.

Scores of different searches have no common scale, ranks have (Cormack, Clarke, Büttcher 2009,
"Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning Methods").
"""

from __future__ import annotations

from collections.abc import Sequence


def reciprocal_rank_fusion(
    rankings: Sequence[Sequence[str]], rank_constant: int = 60
) -> list[tuple[str, float]]:
    """(id, score) of everything ranked, best first: score = sum over rankings of 1 / (rank_constant + rank).

    Args:
        rankings: ids, best first, none of them twice in one ranking.
        rank_constant: damps the lead of the first ranks; the paper's 60.

    Ties go to the better single rank, then to the smaller id, so the order never depends on chance.
    """
    scores: dict[str, float] = {}
    best_rank: dict[str, int] = {}
    for ranking in rankings:
        for rank, item in enumerate(ranking, start=1):
            scores[item] = scores.get(item, 0.0) + 1.0 / (rank_constant + rank)
            best_rank[item] = min(rank, best_rank.get(item, rank))
    return sorted(scores.items(), key=lambda pair: (-pair[1], best_rank[pair[0]], pair[0]))
