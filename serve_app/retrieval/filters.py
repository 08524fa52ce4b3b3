"""Metadata filters: which there are, and whether a chunk passes them.

A filter names a field and what must hold of it; several filters must all hold.

    "docs"                              is this text
    ["a", "b"]                          is one of these
    {"gte": 3, "lt": 10}                is a number in the range
    {"gte": "2026-01-01"}               is a date in the range (ISO 8601; no zone means UTC)
    {"exists": true}                    has a value at all

Metadata are texts; a range looks at those that can be read as a number or a date, and at no others.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime

from serve_app.errors import BadRequest
from serve_app.retrieval.base import Between, Chunk, Condition, Exists, Filters, OneOf, Scale
from serve_app.retrieval.identity import is_unicode

FIELDS = ("source", "path", "media_type", "document_id")
NUMBERS = ("page", "ordinal")
METADATA_PREFIX = "metadata."

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_ENDS = ("gt", "gte", "lt", "lte")


def parse(filters: Mapping[str, object]) -> Filters:
    """The filters' conditions; a list without alternatives means that nothing passes.

    Raises:
        BadRequest: an unknown field, or a condition that there is not; it names the field.
    """
    return {field: _condition(field, value) for field, value in filters.items()}


def passes(chunk: Chunk, filters: Filters) -> bool:
    return all(_holds(chunk, field, condition) for field, condition in filters.items())


def metadata_key(field: str) -> str | None:
    """The key that a `metadata.KEY` filter is about; None for the other fields."""
    return field.removeprefix(METADATA_PREFIX) if field.startswith(METADATA_PREFIX) else None


def number(text: str) -> float | None:
    """The number that a text is; None if it is none, or none that is finite."""
    value = float(text) if _NUMBER.fullmatch(text) else math.inf
    return value if math.isfinite(value) else None


def instant_ms(text: str) -> float | None:
    """The moment that an ISO 8601 text names, in milliseconds since 1970 in UTC; None if it names none."""
    try:
        moment = datetime.fromisoformat(text)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return aware.timestamp() * 1000.0
    except (ValueError, OverflowError):
        return None


def numbers(metadata: Mapping[str, str]) -> dict[str, float]:
    """key -> number, of those values that are numbers."""
    return {key: value for key, text in metadata.items() if (value := number(text)) is not None}


def instants_ms(metadata: Mapping[str, str]) -> dict[str, float]:
    """key -> moment, of those values that are dates."""
    return {key: value for key, text in metadata.items() if (value := instant_ms(text)) is not None}


def _holds(chunk: Chunk, field: str, condition: Condition) -> bool:
    if isinstance(condition, Exists):
        return (_text(chunk, field) is not None) == condition.wanted
    if isinstance(condition, OneOf):
        return _text(chunk, field) in condition.values
    text = _text(chunk, field)
    value = None if text is None else (number if condition.scale is Scale.NUMBER else instant_ms)(text)
    if value is None:
        return False
    low, high = condition.low, condition.high
    return (low is None or low <= value) and (high is None or value <= high)


def _text(chunk: Chunk, field: str) -> str | None:
    key = metadata_key(field)
    if key is not None:
        return chunk.metadata.get(key)
    value = getattr(chunk, field)
    return None if value is None else str(value)


def _condition(field: str, value: object) -> Condition:
    if field not in (*FIELDS, *NUMBERS) and not metadata_key(field):
        known = ", ".join((*FIELDS, *NUMBERS, f"{METADATA_PREFIX}KEY"))
        raise BadRequest(f"unknown filter {field!r}; there are: {known}", "filters")
    if not is_unicode(field):
        raise _refused(field, "is no valid Unicode")
    if isinstance(value, Mapping):
        return _exists(field, value) if "exists" in value else _between(field, value)
    if field in NUMBERS:
        raise _refused(field, 'takes a range such as {"gte": 1}, or {"exists": true}')
    alternatives = tuple(value) if isinstance(value, list | tuple) else (value,)
    texts = tuple(one for one in alternatives if isinstance(one, str) and is_unicode(one))
    if len(texts) != len(alternatives):
        raise _refused(field, 'takes a text, a list of texts, a range or {"exists": true}')
    return OneOf(texts)


def _exists(field: str, value: Mapping[object, object]) -> Exists:
    wanted = value["exists"]
    if len(value) != 1 or not isinstance(wanted, bool):
        raise _refused(field, '{"exists": ...} is true or false, and stands alone')
    return Exists(wanted)


def _between(field: str, value: Mapping[object, object]) -> Between:
    if field in FIELDS:
        raise _refused(field, "is a text: it has no range")
    if not value or not set(value) <= set(_ENDS):
        raise _refused(field, f"takes a range of {', '.join(_ENDS)}")
    is_date = any(isinstance(bound, str) for bound in value.values())
    if is_date and field in NUMBERS:
        raise _refused(field, "is a number: its range has numbers")
    bounds = {str(end): _bound(field, bound, is_date=is_date) for end, bound in value.items()}
    # A range without its end is one that begins (or ends) at the next number that there is.
    lows = [bounds[end] for end in ("gte",) if end in bounds]
    lows += [math.nextafter(bounds["gt"], math.inf)] if "gt" in bounds else []
    highs = [bounds[end] for end in ("lte",) if end in bounds]
    highs += [math.nextafter(bounds["lt"], -math.inf)] if "lt" in bounds else []
    return Between(
        Scale.DATE if is_date else Scale.NUMBER,
        low=max(lows, default=None),
        high=min(highs, default=None),
    )


def _bound(field: str, bound: object, *, is_date: bool) -> float:
    value: float | None = None
    if is_date and isinstance(bound, str):
        value = instant_ms(bound)
    elif not is_date and isinstance(bound, int | float) and not isinstance(bound, bool):
        value = _finite(bound)
    if value is None:
        kind = "an ISO 8601 date" if is_date else "a number"
        raise _refused(field, f"{bound!r} is not {kind}")
    return value


def _finite(value: float) -> float | None:
    try:
        as_float = float(value)
    except OverflowError:
        return None
    return as_float if math.isfinite(as_float) else None


def _refused(field: str, reason: str) -> BadRequest:
    return BadRequest(f"the filter {field!r}: {reason}", f"filters.{field}")
