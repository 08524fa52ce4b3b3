"""Metadata filters: which there are, and whether a chunk passes them.

A filter names a field and the values of which it must have one; several filters must all hold.
"""

from __future__ import annotations

from collections.abc import Mapping

from serve_app.errors import BadRequest
from serve_app.retrieval.base import Chunk, Filters
from serve_app.retrieval.identity import is_unicode

FIELDS = ("source", "path", "media_type", "document_id")
METADATA_PREFIX = "metadata."


def parse(filters: Mapping[str, str | list[str]]) -> Filters:
    """The filters with each value as a tuple of alternatives; no alternatives means that nothing passes.

    Raises:
        BadRequest: an unknown field, or a value that is no text; it names the field.
    """
    return {field: _alternatives(field, value) for field, value in filters.items()}


def passes(chunk: Chunk, filters: Filters) -> bool:
    return all(_value(chunk, field) in values for field, values in filters.items())


def metadata_key(field: str) -> str | None:
    """The key that a `metadata.KEY` filter is about; None for the other fields."""
    return field.removeprefix(METADATA_PREFIX) if field.startswith(METADATA_PREFIX) else None


def _value(chunk: Chunk, field: str) -> str | None:
    key = metadata_key(field)
    if key is not None:
        return chunk.metadata.get(key)
    value: str = getattr(chunk, field)
    return value


def _alternatives(field: str, value: object) -> tuple[str, ...]:
    if field not in FIELDS and not metadata_key(field):
        known = ", ".join((*FIELDS, f"{METADATA_PREFIX}KEY"))
        raise BadRequest(f"unknown filter {field!r}; there are: {known}", "filters")
    alternatives = tuple(value) if isinstance(value, list | tuple) else (value,)
    if not all(isinstance(one, str) and is_unicode(one) for one in (field, *alternatives)):
        raise BadRequest(f"the filter {field!r} takes a text or a list of texts", f"filters.{field}")
    return alternatives
