"""Chunks as rows of a LanceDB table, and filters as its SQL. Knows nothing of files or connections.

A table has one vector column for each embedding model it has seen, named after the model and the
dimension; a row fills exactly one of them. So the move to another model is a replacement row by row:
no search ever compares vectors of two models, and the full-text index goes on covering every row.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa

from serve_app.messages import Vectors
from serve_app.retrieval.base import Between, Chunk, Condition, Exists, Filters, Scale
from serve_app.retrieval.filters import instants_ms, metadata_key, numbers
from serve_app.retrieval.stores import lexical_text

_VECTOR_PREFIX = "vector_"
LEXICAL = "lexical"  # the only column with a full-text index

# What filters look at besides the metadata's pairs: their keys, and of the values that are numbers or
# dates the key and the value, at the same places of two lists.
FILTERED = (
    pa.field("metadata_keys", pa.list_(pa.string())),
    pa.field("number_keys", pa.list_(pa.string())),
    pa.field("number_values", pa.list_(pa.float64())),
    pa.field("date_keys", pa.list_(pa.string())),
    pa.field("date_values", pa.list_(pa.float64())),
)
# What tables of earlier days lack: where the text stands in its document.
OFFSETS = (pa.field("text_start", pa.int32()), pa.field("text_end", pa.int32()))
BASE_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("tenant", pa.string(), nullable=False),
        pa.field("document_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("title", pa.string(), nullable=False),
        pa.field("headings", pa.list_(pa.string()), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field(LEXICAL, pa.string(), nullable=False),
        pa.field("ordinal", pa.int32(), nullable=False),
        pa.field("page", pa.int32()),
        pa.field("media_type", pa.string(), nullable=False),
        pa.field("chunk_hash", pa.string(), nullable=False),
        pa.field("embedding_id", pa.string(), nullable=False),
        pa.field("metadata", pa.list_(pa.string()), nullable=False),  # JSON [key, value] pairs
        *FILTERED,
        *OFFSETS,
    ]
)


def vector_column(embedding_id: str, dim: int) -> str:
    name = hashlib.sha256(embedding_id.encode()).hexdigest()[:16]
    return f"{_VECTOR_PREFIX}{name}_{dim}"


def vector_field(embedding_id: str, dim: int) -> pa.Field:
    return pa.field(vector_column(embedding_id, dim), pa.list_(pa.float32(), dim))


def vector_columns(schema: pa.Schema) -> list[str]:
    return [name for name in schema.names if name.startswith(_VECTOR_PREFIX)]


def result_columns(schema: pa.Schema) -> list[str]:
    """What is read back of a row; what is only there for indices and filters stays behind."""
    unread = {LEXICAL, *(field.name for field in FILTERED)}
    return [name for name in schema.names if name not in unread]


def to_table(chunks: Sequence[Chunk], schema: pa.Schema) -> pa.Table:
    """Rows for chunks whose vector columns are all in the schema."""
    columns = {field.name: [_plain(chunk, field.name) for chunk in chunks] for field in BASE_SCHEMA}
    columns |= {name: [None] * len(chunks) for name in vector_columns(schema)}
    for row, chunk in enumerate(chunks):
        columns[vector_column(chunk.embedding_id, chunk.vector.shape[0])][row] = chunk.vector
    return pa.table(columns, schema=schema)


def from_table(table: pa.Table) -> list[Chunk]:
    vectors = row_vectors(table)
    rows = table.drop_columns(vector_columns(table.schema)).to_pylist()
    return [
        Chunk(
            id=row["id"],
            tenant=row["tenant"],
            document_id=row["document_id"],
            source=row["source"],
            path=row["path"],
            title=row["title"],
            headings=tuple(row["headings"]),
            text=row["text"],
            ordinal=row["ordinal"],
            page=row["page"],
            media_type=row["media_type"],
            chunk_hash=row["chunk_hash"],
            vector=vector,
            embedding_id=row["embedding_id"],
            metadata=dict(json.loads(pair) for pair in row["metadata"]),
            start=row["text_start"],
            end=row["text_end"],
        )
        for row, vector in zip(rows, vectors, strict=True)
    ]


def filtered(table: pa.Table) -> pa.Table:
    """Of rows with `id` and `metadata`: the columns that filters look at."""
    metadata = [dict(json.loads(pair) for pair in pairs) for pairs in table["metadata"].to_pylist()]
    columns = {"id": table["id"].to_pylist()}
    columns |= {name: [of(one) for one in metadata] for name, of in _FILTERED_VALUES.items()}
    return pa.table(columns, schema=pa.schema([BASE_SCHEMA.field("id"), *FILTERED]))


def where(tenant: str, filters: Filters) -> str:
    """The SQL condition for one tenant's rows that pass the filters."""
    clauses = [_clause(field, condition) for field, condition in filters.items()]
    return " AND ".join((f"tenant = {quoted(tenant)}", *clauses))


def _clause(field: str, condition: Condition) -> str:
    key = metadata_key(field)
    if isinstance(condition, Exists):
        has = (
            f"{field} IS NOT NULL"
            if key is None
            else f"coalesce(array_has(metadata_keys, {quoted(key)}), false)"
        )
        return f"({has})" if condition.wanted else f"NOT ({has})"
    if isinstance(condition, Between):
        return _between(field if key is None else _value(key, condition.scale), condition)
    if not condition.values:
        return "false"
    if key is None:
        return is_one_of(field, condition.values)
    pairs = (f"array_has(metadata, {quoted(_pair(key, value))})" for value in condition.values)
    return f"({' OR '.join(pairs)})"


def _value(key: str, scale: Scale) -> str:
    """The key's number or date; null where it has none, which no comparison lets pass."""
    lists = scale.value
    place = f"CAST(array_position({lists}_keys, {quoted(key)}) AS BIGINT)"
    return f"array_element({lists}_values, {place})"


def _between(value: str, condition: Between) -> str:
    ends = [f"{value} IS NOT NULL"]
    if condition.low is not None:
        ends.append(f"{value} >= {_double(condition.low)}")
    if condition.high is not None:
        ends.append(f"{value} <= {_double(condition.high)}")
    return f"({' AND '.join(ends)})"


def _double(value: float) -> str:
    return f"CAST('{value!r}' AS DOUBLE)"


def is_one_of(column: str, values: Iterable[str]) -> str:
    return f"{column} IN ({', '.join(quoted(value) for value in values)})"


def quoted(text: str) -> str:
    """A SQL literal. LanceDB's dialect has no escape but the doubled quote: a backslash is a backslash."""
    return "'" + text.replace("'", "''") + "'"


def _plain(chunk: Chunk, name: str) -> object:
    if name == LEXICAL:
        return lexical_text.of_chunk(chunk)
    if name == "metadata":
        return [_pair(key, value) for key, value in chunk.metadata.items()]
    if name in ("text_start", "text_end"):
        return getattr(chunk, name.removeprefix("text_"))
    if name in _FILTERED_VALUES:
        return _FILTERED_VALUES[name](chunk.metadata)
    return getattr(chunk, name)


_FILTERED_VALUES: dict[str, Callable[[Mapping[str, str]], list[object]]] = {
    "metadata_keys": lambda metadata: list(metadata),
    "number_keys": lambda metadata: list(numbers(metadata)),
    "number_values": lambda metadata: list(numbers(metadata).values()),
    "date_keys": lambda metadata: list(instants_ms(metadata)),
    "date_values": lambda metadata: list(instants_ms(metadata).values()),
}


def _pair(key: str, value: str) -> str:
    return json.dumps([key, value], ensure_ascii=False)


def row_vectors(table: pa.Table) -> list[Vectors]:
    """Each row's vector, from whichever of the vector columns holds it."""
    rows: list[Vectors] = [np.empty(0, np.float32)] * table.num_rows
    for name in vector_columns(table.schema):
        column = table.column(name).combine_chunks()
        filled = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
        # `flatten` leaves out the null rows, so what remains is (rows filled, dim).
        matrix = column.flatten().to_numpy(zero_copy_only=False).reshape(len(filled), column.type.list_size)
        for row, vector in zip(filled, matrix, strict=True):
            rows[row] = vector
    return rows
