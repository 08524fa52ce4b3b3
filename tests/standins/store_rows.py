"""Chunks for the tests of stores, and what is read back of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from serve_app.messages import Vectors
from serve_app.retrieval.base import Chunk, Filters, Hit, HybridQuery, OneOf, Store

MODEL = "model-a"
DIM = 8


def vector(seed: int, dim: int = DIM) -> Vectors:
    drawn = np.random.default_rng(seed).standard_normal(dim).astype(np.float32)
    return np.asarray(drawn / np.linalg.norm(drawn), dtype=np.float32)


def chunk(chunk_id: str, text: str = "some text", **changes: Any) -> Chunk:
    made = Chunk(
        id=chunk_id,
        tenant="acme",
        document_id="d1",
        source="docs",
        path="a.md",
        title="Guide",
        headings=("Guide", "Install"),
        text=text,
        ordinal=0,
        page=None,
        media_type="text/markdown",
        chunk_hash=f"hash of {text}",
        vector=vector(sum(map(ord, chunk_id))),
        embedding_id=MODEL,
    )
    return replace(made, **changes)


def whole(found: Chunk, written: Chunk) -> Chunk:
    """What was found, with the vector that was written: arrays are not equal, only the same."""
    return replace(found, vector=written.vector)


def ids(hits: list[Hit]) -> list[str]:
    return [hit.chunk.id for hit in hits]


MARK = vector(0)  # in both of two chunks that are compared: arrays are not equal, only the same


def one_of(**values: str) -> Filters:
    return {field: OneOf((value,)) for field, value in values.items()}


def hybrid(text: str, vector: Vectors, num_candidates: int = 50) -> HybridQuery:
    return HybridQuery(text, MODEL, vector, num_candidates, rank_constant=60)


async def everything(store: Store, tenant: str, filters: Filters | None = None) -> set[str]:
    """What a tenant can see at all, through the dense search."""
    return set(ids(await store.search_dense(tenant, MODEL, vector(0), 1000, filters or {})))
