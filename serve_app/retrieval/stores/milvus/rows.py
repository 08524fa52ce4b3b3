"""Chunks as rows of a Milvus collection, and conditions as its expressions. Knows nothing of connections.

A collection holds the vectors of one embedding model, because Milvus Lite has one vector field in a
collection. Expressions compare digests and numbers only: there is no text of anybody's to be quoted.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from serve_app.retrieval.base import UNREAD, Between, Chunk, Condition, Exists, Filters, OneOf, Scale
from serve_app.retrieval.identity import digest
from serve_app.retrieval.stores import kept, lexical_text, terms
from serve_app.retrieval.stores.milvus.words import analysed

DIGEST_CHARS = 32
MAX_TEXT_BYTES = 65_535  # of a text field
MAX_PIECES = 4_096  # of an array
# What is read back of a row: without its vector, and with it.
PASSAGE = ["chunk"]
WHOLE = ["chunk", "vector"]


def space(embedding_id: str, dim: int) -> str:
    """What a model's collection is called after the store's own name."""
    return f"{hashlib.sha256(embedding_id.encode()).hexdigest()[:16]}_{dim}"


def key(tenant: str, chunk_id: str) -> str:
    return digest("row", tenant, chunk_id)


def text_hash(chunk_hash: str) -> str:
    return digest("hash", chunk_hash)


def row(chunk: Chunk) -> dict[str, Any]:
    # Escaped, so that a piece's characters are its bytes, and control characters are none.
    text = json.dumps(kept.plain(chunk))
    return {
        "key": key(chunk.tenant, chunk.id),
        "owner": terms.owner(chunk.tenant),
        "id": chunk.id,
        "terms": terms.of_chunk(chunk),
        "numbers": terms.numbers_of(chunk),
        "dates": terms.dates_of(chunk),
        "hash": text_hash(chunk.chunk_hash),
        "lexical": analysed(lexical_text.of_chunk(chunk), MAX_TEXT_BYTES),
        "vector": chunk.vector.tolist(),
        "chunk": [text[start : start + MAX_TEXT_BYTES] for start in range(0, len(text), MAX_TEXT_BYTES)],
    }


def chunk_of(found: Mapping[str, Any]) -> Chunk:
    vector = np.array(found["vector"], np.float32) if "vector" in found else UNREAD
    return kept.chunk_of(json.loads("".join(found["chunk"])), vector)


def expression(tenant: str, filters: Filters) -> str:
    """What holds of one tenant's rows that pass the filters."""
    clauses = [_clause(field, condition) for field, condition in filters.items()]
    return " and ".join((f'owner == "{terms.owner(tenant)}"', *clauses))


def listed(digests: Iterable[str]) -> str:
    return "[" + ", ".join(f'"{one}"' for one in digests) + "]"


def _clause(field: str, condition: Condition) -> str:
    if isinstance(condition, Exists):
        has = f'array_contains(terms, "{terms.present(field)}")'
        return has if condition.wanted else f"not {has}"
    if isinstance(condition, OneOf):
        wanted = [terms.equal(field, value) for value in condition.values]
        return f"array_contains_any(terms, {listed(wanted)})" if wanted else 'key == ""'
    return _between(terms.axis(field), condition)


def _between(axis: str, condition: Between) -> str:
    value = f'{"numbers" if condition.scale is Scale.NUMBER else "dates"}["{axis}"]'
    ends = [f"{value} is not null"]
    if condition.low is not None:
        ends.append(f"{value} >= {condition.low!r}")
    if condition.high is not None:
        ends.append(f"{value} <= {condition.high!r}")
    return f"({' and '.join(ends)})"
