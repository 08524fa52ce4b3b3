"""Chunks as OpenSearch's documents, and conditions as its queries. Knows nothing of requests.

A document has what indices look at (terms, numbers and dates for filters, the lexical text, the vector),
and the chunk itself, which is only kept. Its id is made of the tenant and the chunk's id, so that nobody
can write or delete another tenant's document, whatever ids are called.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from serve_app.messages import Vectors
from serve_app.retrieval.base import UNREAD, Between, Chunk, Condition, Exists, Filters, OneOf, Scale
from serve_app.retrieval.identity import digest
from serve_app.retrieval.stores import kept, lexical_text, terms
from serve_app.retrieval.stores.opensearch.mapping import LEXICAL, PACKED, vector_field

# Lucene refuses a query of more than 1,024 clauses; each word is one. The last ones say least.
_MAX_QUERY_WORDS = 800
_FLOAT = np.dtype("<f4")
_DECIMALS = 8  # of a vector's numbers: 5e-9 off, which float32 hardly knows, at half the bytes
# What is read back of a document: without its vector, and with it.
PASSAGE = ["chunk"]
WHOLE = ["chunk", PACKED]
# Of hits whose ids or scores are all that matters: what is kept is not even unpacked for its `_id`.
NOTHING_KEPT: Mapping[str, Any] = {"_source": False, "stored_fields": "_none_"}


def document_id(tenant: str, chunk_id: str) -> str:
    return digest("document", tenant, chunk_id)


def document(chunk: Chunk) -> dict[str, Any]:
    return {
        "owner": terms.owner(chunk.tenant),
        "id": chunk.id,
        "terms": terms.of_chunk(chunk),
        "numbers": [f"{axis}{terms.sortable(value)}" for axis, value in terms.numbers_of(chunk).items()],
        "dates": [f"{axis}{terms.sortable(value)}" for axis, value in terms.dates_of(chunk).items()],
        "hash": digest("hash", chunk.chunk_hash),
        "model": digest("model", chunk.embedding_id),
        LEXICAL: lexical_text.of_chunk(chunk),
        vector_field(chunk.embedding_id, chunk.vector.shape[0]): numbers(chunk.vector),
        "chunk": kept.plain(chunk),
        PACKED: _packed(chunk.vector),
    }


def chunk_of(source: Mapping[str, Any]) -> Chunk:
    return kept.chunk_of(source["chunk"], vector_of(source) if PACKED in source else UNREAD)


def vector_of(source: Mapping[str, Any]) -> Vectors:
    return np.frombuffer(base64.b64decode(source[PACKED]), _FLOAT)


def numbers(vector: Vectors) -> list[float]:
    rounded: list[float] = np.round(vector.astype(np.float64), _DECIMALS).tolist()
    return rounded


def conditions(tenant: str, filters: Filters) -> list[dict[str, Any]]:
    """Clauses that hold of one tenant's documents that pass the filters."""
    clauses = [_clause(field, condition) for field, condition in filters.items()]
    return [{"term": {"owner": terms.owner(tenant)}}, *clauses]


def lexical_query(text: str, clauses: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    words = lexical_text.of_query(text, _MAX_QUERY_WORDS)
    return {"bool": {"must": [{"match": {LEXICAL: {"query": words}}}], "filter": list(clauses)}}


def dense_query(
    field: str, vector: Vectors, num_candidates: int, clauses: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The filter is inside the knn clause: it is looked at while the graph is searched."""
    asked = {"vector": numbers(vector), "k": num_candidates, "filter": {"bool": {"filter": list(clauses)}}}
    return {"knn": {field: asked}}


def cosine(score: float) -> float:
    """Of a score of the space cosinesimil, which is (1 + cosine) / 2."""
    return 2.0 * score - 1.0


def _packed(vector: Vectors) -> str:
    return base64.b64encode(vector.astype(_FLOAT).tobytes()).decode()


def _clause(field: str, condition: Condition) -> dict[str, Any]:
    if isinstance(condition, Exists):
        has: dict[str, Any] = {"term": {"terms": terms.present(field)}}
        return has if condition.wanted else {"bool": {"must_not": [has]}}
    if isinstance(condition, OneOf):
        return {"terms": {"terms": [terms.equal(field, value) for value in condition.values]}}
    return _range(terms.axis(field), condition)


def _range(axis: str, condition: Between) -> dict[str, Any]:
    low = "0" * 16 if condition.low is None else terms.sortable(condition.low)
    high = "f" * 16 if condition.high is None else terms.sortable(condition.high)
    lists = "numbers" if condition.scale is Scale.NUMBER else "dates"
    return {"range": {lists: {"gte": f"{axis}{low}", "lte": f"{axis}{high}"}}}
