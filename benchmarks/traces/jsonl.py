"""Lines that are JSON objects, typed; faults are told in the words of the file's own keys."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from benchmarks.traces.base import LineFault

Line = TypeVar("Line", bound=msgspec.Struct)


def decode(decoder: msgspec.json.Decoder[Line], line: str) -> Line:
    """The line as its type.

    Raises:
        LineFault: it is no JSON, or a key is missing or out of range.
    """
    try:
        return decoder.decode(line)
    except msgspec.DecodeError as exc:
        raise LineFault(str(exc).replace("$.", "")) from exc


def has_keys(line: str, *keys: str) -> bool:
    """Whether the line is an object with all these keys, whatever their values."""
    try:
        found = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return False
    return isinstance(found, dict) and all(key in found for key in keys)
