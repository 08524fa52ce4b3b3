"""Reciprocal rank fusion: one ranking out of several, from ranks alone.

Scores of different searches have no common scale, ranks have (Cormack, Clarke, Büttcher 2009,
"Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning Methods").
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from serve_app.messages import Deadline, Vectors
from serve_app.retrieval.base import Chunk, Filters, Fused, Hit, HybridQuery, Store


def reciprocal_rank_fusion(
    rankings: Sequence[Sequence[str]], rank_constant: int = 60, weights: Sequence[float] | None = None
) -> list[tuple[str, float]]:
    """(id, score) of everything ranked, best first: score = sum over rankings of weight / (rank_constant + rank).

    Args:
        rankings: ids, best first, none of them twice in one ranking.
        rank_constant: damps the lead of the first ranks; the paper's 60.
        weights: one a ranking; None: 1 each.

    Ties go to the better single rank, then to the smaller id, so the order never depends on chance.
    """
    scores: dict[str, float] = {}
    best_rank: dict[str, int] = {}
    for ranking, weight in zip(rankings, weights or [1.0] * len(rankings), strict=True):
        for rank, item in enumerate(ranking, start=1):
            scores[item] = scores.get(item, 0.0) + weight / (rank_constant + rank)
            best_rank[item] = min(rank, best_rank.get(item, rank))
    return sorted(scores.items(), key=lambda pair: (-pair[1], best_rank[pair[0]], pair[0]))


def fuse(lexical: Sequence[Hit], dense: Sequence[Hit], query: HybridQuery) -> list[Fused]:
    """One ranking of both legs, best first."""
    bm25 = {hit.chunk.id: hit.score for hit in lexical}
    cosines = {hit.chunk.id: hit.score for hit in dense}
    chunks = {hit.chunk.id: hit.chunk for hit in (*lexical, *dense)}
    rankings = [[hit.chunk.id for hit in leg] for leg in (lexical, dense)]
    ranks = [{one: rank for rank, one in enumerate(ranking, start=1)} for ranking in rankings]
    weights = (query.lexical_weight, query.dense_weight)
    return [
        Fused(
            chunk=chunks[one],
            score=score,
            cosine=cosines[one] if one in cosines else cosine(chunks[one], query.embedding_id, query.vector),
            bm25=bm25.get(one),
            lexical_rank=ranks[0].get(one),
            dense_rank=ranks[1].get(one),
        )
        for one, score in reciprocal_rank_fusion(rankings, query.rank_constant, weights)
    ]


async def fuse_legs(
    store: Store, tenant: str, query: HybridQuery, k: int, filters: Filters, deadline: Deadline | None
) -> list[Fused]:
    """What `Store.search_hybrid` is where no server fuses: both legs at once, fused here."""
    num = max(k, query.num_candidates)
    lexical = asyncio.ensure_future(store.search_lexical(tenant, query.text, num, filters, deadline))
    dense = asyncio.ensure_future(
        store.search_dense(tenant, query.embedding_id, query.vector, num, filters, deadline)
    )
    try:
        return fuse(await lexical, await dense, query)[:k]
    finally:
        lexical.cancel()
        dense.cancel()
        await asyncio.gather(lexical, dense, return_exceptions=True)


def cosine(chunk: Chunk, embedding_id: str, vector: Vectors) -> float | None:
    """None where there is nothing to compare: the chunk's vector is of another model."""
    if chunk.embedding_id != embedding_id or chunk.vector.shape != vector.shape:
        return None
    return float(chunk.vector @ vector)
