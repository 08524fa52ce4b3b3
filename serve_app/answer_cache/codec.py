"""Entries as bytes, for stores that keep bytes."""

from __future__ import annotations

import json
import struct

from serve_app.answer_cache.base import Entry

_HEAD = struct.Struct(">I")


def to_bytes(entry: Entry) -> bytes:
    head = {
        "made_at_s": entry.made_at_s,
        "model": entry.model,
        "question": entry.question,
        "sizes": [len(frame) for frame in entry.frames],
    }
    encoded = json.dumps(head).encode()
    return _HEAD.pack(len(encoded)) + encoded + b"".join(entry.frames)


def from_bytes(data: bytes) -> Entry | None:
    """The entry; None: that is none (cut, or of another version)."""
    try:
        (num,) = _HEAD.unpack_from(data)
        at = _HEAD.size + num
        head = json.loads(data[_HEAD.size : at])
        frames = []
        for size in head["sizes"]:
            frames.append(data[at : at + size])
            at += size
        if at != len(data):
            return None
        return Entry(tuple(frames), float(head["made_at_s"]), head["model"], head["question"])
    except (struct.error, ValueError, KeyError, TypeError):
        return None
