"""Chunks as rows of a LanceDB table, and filters as its SQL. Knows nothing of files or connections.

A table has one vector column for each embedding model it has seen, named after the model and the
dimension; a row fills exactly one of them. So the move to another model is a replacement row by row:
no search ever compares vectors of two models, and the full-text index goes on covering every row. Beside what
indices and filters look at, a row has its chunk whole, in one column: each column that is read is a read more.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from serve_app.messages import Vectors
from serve_app.retrieval.base import UNREAD, Between, Chunk, Condition, Exists, Filters, Scale
from serve_app.retrieval.filters import instants_ms, metadata_key, numbers
from serve_app.retrieval.stores import kept, lexical_text

_VECTOR_PREFIX = "vector_"
LEXICAL = "lexical"  # the only column with a full-text index
PASSAGE = pa.field("passage", pa.string())  # the chunk but for its vector, as JSON

# What filters look at besides the metadata's pairs: their keys, and of the values that are numbers or
# dates the key and the value, at the same places of two lists.
FILTERED = (
    pa.field("metadata_keys", pa.list_(pa.string())),
    pa.field("number_keys", pa.list_(pa.string())),
    pa.field("number_values", pa.list_(pa.float64())),
    pa.field("date_keys", pa.list_(pa.string())),
    pa.field("date_values", pa.list_(pa.float64())),
)
# What tables of earlier days have in columns of their own; `passage` has it now.
EARLIER = ("title", "headings", "text", "text_start", "text_end")
BASE_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("tenant", pa.string(), nullable=False),
        pa.field("document_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field(LEXICAL, pa.string(), nullable=False),
        pa.field("ordinal", pa.int32(), nullable=False),
        pa.field("page", pa.int32()),
        pa.field("media_type", pa.string(), nullable=False),
        pa.field("chunk_hash", pa.string(), nullable=False),
        pa.field("embedding_id", pa.string(), nullable=False),
        pa.field("metadata", pa.list_(pa.string()), nullable=False),  # JSON [key, value] pairs
        *FILTERED,
        PASSAGE,
    ]
)

# Of the columns, what is no part of a chunk.
UNKEPT = frozenset((LEXICAL, PASSAGE.name, *(field.name for field in FILTERED)))


def vector_column(embedding_id: str, dim: int) -> str:
    name = hashlib.sha256(embedding_id.encode()).hexdigest()[:16]
    return f"{_VECTOR_PREFIX}{name}_{dim}"


def vector_field(embedding_id: str, dim: int) -> pa.Field:
    return pa.field(vector_column(embedding_id, dim), pa.list_(pa.float32(), dim))


def vector_columns(schema: pa.Schema) -> tuple[str, ...]:
    return tuple(name for name in schema.names if name.startswith(_VECTOR_PREFIX))


def result_columns(vectors: Sequence[str] = ()) -> tuple[str, ...]:
    """What is read back of a row, with these vector columns."""
    return (PASSAGE.name, *vectors)


def to_table(chunks: Sequence[Chunk], schema: pa.Schema) -> pa.Table:
    """Rows for chunks whose vector columns are all in the schema."""
    columns = {field.name: [_plain(chunk, field.name) for chunk in chunks] for field in BASE_SCHEMA}
    columns |= {name: [None] * len(chunks) for name in vector_columns(schema)}
    for row, chunk in enumerate(chunks):
        columns[vector_column(chunk.embedding_id, chunk.vector.shape[0])][row] = chunk.vector
    return pa.table(columns, schema=schema)


class Seen(msgspec.Struct, frozen=True):
    """Of a passage, what tells whose it is; the rest is not decoded before it is wanted."""

    id: str
    tenant: str


_SEEN = msgspec.json.Decoder(Seen)


def seen(table: pa.Table) -> list[Seen]:
    return [_SEEN.decode(passage) for passage in table[PASSAGE.name].to_pylist()]


def chunks_of(table: pa.Table, ids: Sequence[str], wanted: Sequence[str]) -> dict[str, Chunk]:
    """id -> chunk, for those wanted of a table whose rows have these ids."""
    places = {one: place for place, one in enumerate(ids)}
    picked = table.take(pa.array([places[one] for one in wanted], pa.int64()))
    return {chunk.id: chunk for chunk in from_table(picked)}


def from_table(table: pa.Table) -> list[Chunk]:
    passages = table[PASSAGE.name].to_pylist()
    return [
        kept.chunk_of(msgspec.json.decode(passage), vector)
        for passage, vector in zip(passages, row_vectors(table), strict=True)
    ]


def passages(table: pa.Table) -> pa.Table:
    """Of rows of earlier days: `id` and `passage`. Where there are no offsets, they are not known."""
    found = {
        "id": table["id"].to_pylist(),
        PASSAGE.name: [_encoded(_of_earlier_days(row)) for row in table.to_pylist()],
    }
    return pa.table(found, schema=pa.schema([BASE_SCHEMA.field("id"), PASSAGE]))


def _of_earlier_days(row: Mapping[str, Any]) -> dict[str, Any]:
    own = {name: value for name, value in row.items() if name not in ("text_start", "text_end")}
    pairs = [json.loads(pair) for pair in row["metadata"]]
    return own | {"metadata": pairs, "start": row.get("text_start"), "end": row.get("text_end")}


def _encoded(plain: Mapping[str, Any]) -> str:
    return msgspec.json.encode(plain).decode()


def filtered(table: pa.Table) -> pa.Table:
    """Of rows with `id` and `metadata`: the columns that filters look at."""
    metadata = [dict(json.loads(pair) for pair in pairs) for pairs in table["metadata"].to_pylist()]
    columns = {"id": table["id"].to_pylist()}
    columns |= {name: [of(one) for one in metadata] for name, of in _FILTERED_VALUES.items()}
    return pa.table(columns, schema=pa.schema([BASE_SCHEMA.field("id"), *FILTERED]))


def where(tenant: str, filters: Filters) -> str:
    """The SQL condition for one tenant's rows that pass the filters."""
    return " AND ".join((f"tenant = {quoted(tenant)}", *_clauses(filters)))


def where_of_any_tenant(filters: Filters) -> str:
    """The same for whatever tenant's rows; empty if all of them pass. What it finds is for nobody's eyes yet."""
    return " AND ".join(_clauses(filters))


def _clauses(filters: Filters) -> list[str]:
    return [_clause(field, condition) for field, condition in filters.items()]


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
    if name == PASSAGE.name:
        return _encoded(kept.plain(chunk))
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
    """Each row's vector, from whichever of the vector columns holds it; UNREAD where none was read."""
    rows: list[Vectors] = [UNREAD] * table.num_rows
    for name in vector_columns(table.schema):
        column = table.column(name).combine_chunks()
        filled = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
        # `flatten` leaves out the null rows, so what remains is (rows filled, dim).
        matrix = column.flatten().to_numpy(zero_copy_only=False).reshape(len(filled), column.type.list_size)
        for row, vector in zip(filled, matrix, strict=True):
            rows[row] = vector
    return rows
