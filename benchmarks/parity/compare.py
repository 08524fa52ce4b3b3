"""Two answers, field by field."""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_MAX_SHOWN = 160


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that differs."""

    path: str  # body.choices.0.message.content
    ours: str  # as JSON would show it, cut; "absent" where it is not there
    theirs: str


def differences(theirs: Any, ours: Any, tolerance: float = 0.0, path: str = "") -> Iterator[Difference]:
    """Every field in which `ours` differs from `theirs`.

    Args:
        theirs: what the bare server said.
        ours: what came through Manta.
        tolerance: of numbers with a fraction, relative to the larger of the number and 1: two processes may add in
            another order. Whole numbers must be equal, and 1 is not 1.0 or true.
        path: of the two, in the answer.
    """
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in [*theirs, *(key for key in ours if key not in theirs)]:
            below = f"{path}.{key}" if path else key
            if key not in theirs or key not in ours:
                yield Difference(below, _shown(ours, key), _shown(theirs, key))
            else:
                yield from differences(theirs[key], ours[key], tolerance, below)
    elif isinstance(theirs, list) and isinstance(ours, list):
        if len(theirs) != len(ours):
            yield Difference(f"{path}.length", str(len(ours)), str(len(theirs)))
        for index, (one, other) in enumerate(zip(theirs, ours, strict=False)):
            yield from differences(one, other, tolerance, f"{path}.{index}")
    elif not _are_equal(theirs, ours, tolerance):
        yield Difference(path, _cut(ours), _cut(theirs))


def _are_equal(theirs: Any, ours: Any, tolerance: float) -> bool:
    if type(theirs) is not type(ours):
        return False
    if isinstance(theirs, float):
        return bool(abs(theirs - ours) <= tolerance * max(1.0, abs(theirs), abs(ours)))
    if isinstance(theirs, str) and theirs != ours and tolerance:
        return _are_equal_vectors(theirs, ours, tolerance)
    return bool(theirs == ours)


def _are_equal_vectors(theirs: str, ours: str, tolerance: float) -> bool:
    """Embeddings as base64 of float32, little endian: equal within the tolerance, number by number."""
    one, other = _floats(theirs), _floats(ours)
    if one is None or other is None or len(one) != len(other):
        return False
    return all(abs(a - b) <= tolerance * max(1.0, abs(a), abs(b)) for a, b in zip(one, other, strict=True))


def _floats(text: str) -> tuple[float, ...] | None:
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    if len(content) % 4 or len(content) < 16:
        return None
    values = struct.unpack(f"<{len(content) // 4}f", content)
    # Words that happen to be base64 are no vector: as floats their parts are far from what embeddings hold.
    return values if all(value == 0 or 1e-12 < abs(value) < 1e4 for value in values) else None


def _shown(parent: dict[str, Any], key: str) -> str:
    return _cut(parent[key]) if key in parent else "absent"


def _cut(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= _MAX_SHOWN else shown[: _MAX_SHOWN - 3] + "..."
