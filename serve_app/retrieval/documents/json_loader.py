"""JSON and JSON Lines: one file is one document, and each record of it is a section.

A record's title is its section's heading; its text stands as it is; every other field becomes a line
`key: value`, nested ones `outer.inner: value`. That reads BEIR's `{"_id", "title", "text"}` as well as
an export of anything. Nulls and empty values are no text, nor are keys that begin with `_`, which
hold the bookkeeping of the store that wrote the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from serve_app.retrieval.documents.base import Parsed, Section, Unreadable, bounded
from serve_app.retrieval.documents.plain_text import decode

_TITLE_KEYS = ("title", "name", "headline", "subject")
_TEXT_KEYS = ("text", "content", "body", "abstract")
_MAX_DEPTH = 64


def read_json(content: bytes) -> Parsed:
    text = decode(content)
    try:
        value = _parse(text)
    except json.JSONDecodeError as exc:
        if exc.msg == "Extra data" and "\n" in text.strip():
            return Parsed(None, _sections(_lines(text)))  # JSON Lines under the wrong name
        raise Unreadable(f"it is not JSON: {exc.msg} at line {exc.lineno}, column {exc.colno}") from exc
    if isinstance(value, list):
        return Parsed(None, _sections(iter(value)))
    title = _title(value) if isinstance(value, dict) else None
    return Parsed(title, _sections(iter((value,))))


def read_json_lines(content: bytes) -> Parsed:
    return Parsed(None, _sections(_lines(decode(content))))


def _parse(text: str) -> Any:
    try:
        return json.loads(text.removeprefix("\ufeff"), parse_constant=_no_number)
    except RecursionError as exc:
        raise Unreadable(f"its values are nested deeper than {_MAX_DEPTH} levels") from exc
    except json.JSONDecodeError:
        raise
    except ValueError as exc:
        raise Unreadable("it holds an integer of thousands of digits") from exc


def _no_number(_constant: str) -> None:
    """NaN and the infinities, which JSON does not have and Python writes: a missing value."""


def _lines(text: str) -> Iterator[Any]:
    # Not splitlines: a JSON string may hold U+2028 and its like.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield _parse(line)
            except json.JSONDecodeError as exc:
                raise Unreadable(f"line {number} is not JSON: {exc.msg} at column {exc.colno}") from exc


def _sections(records: Iterator[Any]) -> Iterator[Section]:
    for record in records:
        if not isinstance(record, dict):
            yield Section((), "\n".join(bounded(_flat("", record, 0))), None)
            continue
        title = _title(record)
        texts = [record[key] for key in _TEXT_KEYS if isinstance(record.get(key), str)]
        skipped = {key for key in _TEXT_KEYS if isinstance(record.get(key), str)}
        if title is not None:
            skipped.add(next(key for key in _TITLE_KEYS if record.get(key)))
        rest = {key: value for key, value in record.items() if key not in skipped}
        texts.append("\n".join(bounded(_flat("", rest, 0))))
        text = "\n\n".join(text for text in texts if text.strip())
        # A record that has nothing but a title is its title.
        yield Section((title,), text, None) if title and text else Section((), title or text, None)


def _title(record: dict[str, Any]) -> str | None:
    value = next((record[key] for key in _TITLE_KEYS if record.get(key)), None)
    return value if isinstance(value, str) and value.strip() else None


def _flat(key: str, value: Any, depth: int) -> Iterator[str]:
    """Lines `key: value` of everything in a value."""
    if depth > _MAX_DEPTH:
        raise Unreadable(f"its values are nested deeper than {_MAX_DEPTH} levels")
    if isinstance(value, dict):
        for name, inner in value.items():
            if not name.startswith("_"):
                yield from _flat(f"{key}.{name}" if key else name, inner, depth + 1)
    elif isinstance(value, list):
        if all(not isinstance(one, dict | list) for one in value):
            yield from _line(key, ", ".join(filter(None, map(_scalar, value))))
        else:
            for index, inner in enumerate(value):
                yield from _flat(f"{key}.{index}" if key else str(index), inner, depth + 1)
    else:
        yield from _line(key, _scalar(value))


def _line(key: str, text: str) -> Iterator[str]:
    if text.strip():
        yield f"{key}: {text}" if key else text


def _scalar(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
