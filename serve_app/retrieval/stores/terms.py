"""What filters look at, as plain terms: for stores whose filters compare texts and numbers of a few fields.

A term is the digest of a field and a value, so that any text can be filtered by, however long and
whatever it is made of: no store ever has to quote one, and none has a field for each metadata key.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping

from serve_app.retrieval.base import Chunk
from serve_app.retrieval.filters import FIELDS, METADATA_PREFIX, NUMBERS, instants_ms, numbers
from serve_app.retrieval.identity import digest


def owner(tenant: str) -> str:
    """The tenant, as a term: every read and every write carries it."""
    return digest("tenant", tenant)


def equal(field: str, value: str) -> str:
    """The term of all chunks whose field has this value."""
    return digest("equal", field, value)


def present(field: str) -> str:
    """The term of all chunks whose field has any value."""
    return digest("present", field)


def axis(field: str) -> str:
    """The name of a field in the lists of numbers and dates."""
    return digest("axis", field)


def of_chunk(chunk: Chunk) -> list[str]:
    """Every term of a chunk."""
    metadata = {f"{METADATA_PREFIX}{key}": value for key, value in chunk.metadata.items()}
    texts = {field: getattr(chunk, field) for field in FIELDS} | metadata
    numeric = [field for field in NUMBERS if getattr(chunk, field) is not None]
    return [*(equal(*pair) for pair in texts.items()), *(present(field) for field in (*texts, *numeric))]


def numbers_of(chunk: Chunk) -> dict[str, float]:
    """axis -> number, of the chunk's fields and metadata that are numbers."""
    own = {field: value for field in NUMBERS if (value := getattr(chunk, field)) is not None}
    return {axis(field): float(value) for field, value in (own | _metadata(numbers(chunk.metadata))).items()}


def dates_of(chunk: Chunk) -> dict[str, float]:
    """axis -> milliseconds since 1970 in UTC, of the chunk's metadata that are dates."""
    return {axis(field): value for field, value in _metadata(instants_ms(chunk.metadata)).items()}


def sortable(value: float) -> str:
    """16 hex digits that sort as texts as the numbers do (IEEE 754: the sign's bit turns the others round)."""
    if math.isnan(value):
        raise ValueError("what is not a number has no place in an order")
    (bits,) = struct.unpack(">Q", struct.pack(">d", value + 0.0))  # + 0.0: minus zero is zero
    return f"{bits ^ (0xFFFFFFFFFFFFFFFF if bits >> 63 else 1 << 63):016x}"


def _metadata(values: Mapping[str, float]) -> dict[str, float]:
    return {f"{METADATA_PREFIX}{key}": value for key, value in values.items()}
