"""Reciprocal rank fusion: one ranking out of several, from ranks alone.

Scores of different searches have no common scale, ranks have (Cormack, Clarke, Büttcher 2009,
"Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning Methods").
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from serve_app.messages import Deadline, Vectors
from serve_app.retrieval.base import Chunk, Filters, Fused, Hit, HybridQuery, Store

L = TypeVar("L")
D = TypeVar("D")


def reciprocal_rank_fusion(
    rankings: Sequence[Sequence[str]], rank_constant: int = 60, weights: Sequence[float] | None = None
) -> list[tuple[str, float]]:
    """(id, score) of everything ranked, best first: score = sum over rankings of weight / (rank_constant + rank).

    Args:
        rankings: ids, best first, none of them twice in one ranking.
        rank_constant: damps the lead of the first ranks; the paper's 60.
        weights: one a ranking; None: 1 each.

    Ties go to the better single rank, then to the smaller id, so the order never depends on chance, nor on that of
    the rankings.
    """
    parts: dict[str, list[float]] = {}
    best_rank: dict[str, int] = {}
    for ranking, weight in zip(rankings, weights or [1.0] * len(rankings), strict=True):
        for rank, item in enumerate(ranking, start=1):
            parts.setdefault(item, []).append(weight / (rank_constant + rank))
            best_rank[item] = min(rank, best_rank.get(item, rank))
    # Rounded once: three parts in another order would make another sum.
    scores = {item: math.fsum(shares) for item, shares in parts.items()}
    return sorted(scores.items(), key=lambda pair: (-pair[1], best_rank[pair[0]], pair[0]))


@dataclass(frozen=True, slots=True)
class Ranked:
    """A chunk's place in the ranking of both legs, and what each of them says of it; None: it did not see it."""

    id: str
    score: float  # of the fusion
    bm25: float | None
    cosine: float | None
    lexical_rank: int | None
    dense_rank: int | None


def ranked(lexical: Mapping[str, float], dense: Mapping[str, float], query: HybridQuery) -> list[Ranked]:
    """One ranking of both legs (id -> score, best first), best first."""
    ranks = [{one: rank for rank, one in enumerate(leg, start=1)} for leg in (lexical, dense)]
    weights = (query.lexical_weight, query.dense_weight)
    ranking = reciprocal_rank_fusion([list(lexical), list(dense)], query.rank_constant, weights)
    return [
        Ranked(one, score, lexical.get(one), dense.get(one), ranks[0].get(one), ranks[1].get(one))
        for one, score in ranking
    ]


def fused(place: Ranked, chunk: Chunk, query: HybridQuery) -> Fused:
    """The chunk at its place. Where only the lexical leg saw it, the chunk has its vector."""
    seen = place.cosine
    return Fused(
        chunk=chunk,
        score=place.score,
        cosine=cosine(chunk, query.embedding_id, query.vector) if seen is None else seen,
        bm25=place.bm25,
        lexical_rank=place.lexical_rank,
        dense_rank=place.dense_rank,
    )


def fuse(lexical: Sequence[Hit], dense: Sequence[Hit], query: HybridQuery) -> list[Fused]:
    """One ranking of both legs, best first. The lexical hits have their vectors."""
    chunks = {hit.chunk.id: hit.chunk for hit in (*lexical, *dense)}
    best = ranked(_scores(lexical), _scores(dense), query)
    return [fused(one, chunks[one.id], query) for one in best]


def _scores(leg: Sequence[Hit]) -> dict[str, float]:
    return {hit.chunk.id: hit.score for hit in leg}


async def both(lexical: Coroutine[Any, Any, L], dense: Coroutine[Any, Any, D]) -> tuple[L, D]:
    """What both legs give, asked at once; when one fails the other is cancelled, and waited for."""
    beside = asyncio.ensure_future(lexical)
    try:
        found = await dense
        return await beside, found
    finally:
        beside.cancel()
        await asyncio.gather(beside, return_exceptions=True)


async def fuse_legs(
    store: Store, tenant: str, query: HybridQuery, k: int, filters: Filters, deadline: Deadline | None
) -> list[Fused]:
    """What `Store.search_hybrid` is where no server fuses: both legs at once, fused here."""
    num = max(k, query.num_candidates)
    lexical, dense = await both(
        store.search_lexical(tenant, query.text, num, filters, deadline, reads_vectors=True),
        store.search_dense(tenant, query.embedding_id, query.vector, num, filters, deadline),
    )
    return fuse(lexical, dense, query)[:k]


def cosine(chunk: Chunk, embedding_id: str, vector: Vectors) -> float | None:
    """None where there is nothing to compare: the chunk's vector is of another model, or was not read."""
    if chunk.embedding_id != embedding_id or chunk.vector.shape != vector.shape:
        return None
    return float(chunk.vector @ vector)
