"""The queries of a search's two legs, and how a query is read. Knows nothing of tenants, filters or chunks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lancedb
import pyarrow as pa
from lancedb.query import MatchQuery

from serve_app.messages import Vectors
from serve_app.retrieval.stores import lexical_text
from serve_app.retrieval.stores.lance import rows

_BM25, _DISTANCE = "_score", "_distance"

# What a dense query finds where no row has a vector of its model.
NOTHING_NEAR = pa.table({rows.PASSAGE.name: pa.array([], pa.string()), _DISTANCE: pa.array([], pa.float32())})


def lexical(table: lancedb.AsyncTable, text: str, k: int, columns: Sequence[str]) -> Any:
    # A match query takes the text as words; a plain string would be parsed for operators.
    match = MatchQuery(lexical_text.of_query(text), rows.LEXICAL)  # type: ignore[call-arg]
    return table.query().nearest_to_text(match).select([*columns, _BM25]).limit(k)


def dense(table: lancedb.AsyncTable, column: str, vector: Vectors, k: int, columns: Sequence[str]) -> Any:
    """Rows of other models have no distance, and are left out for that."""
    nearest = table.query().nearest_to(vector).column(column).distance_type("cosine")
    return nearest.select([*columns, _DISTANCE]).limit(k)


def bm25(found: pa.Table) -> list[float]:
    """Of each row that a lexical query found."""
    scores: list[float] = found[_BM25].to_pylist()
    return scores


def cosines(found: pa.Table) -> list[float]:
    """Of each row that a dense query found."""
    return [1.0 - distance for distance in found[_DISTANCE].to_pylist()]


async def read(query: Any) -> pa.Table:
    """What `query.to_arrow()` gives, for a table without columns of blobs, which none of ours has.

    To find out about those LanceDB asks the table for its schema and goes through it in Python before each query,
    and it reads a search's batches twice.
    """
    stream = await query._inner.execute(max_batch_length=None, timeout=None)  # noqa: SLF001 (a test compares both)
    return pa.Table.from_batches([batch async for batch in stream], schema=stream.schema)
