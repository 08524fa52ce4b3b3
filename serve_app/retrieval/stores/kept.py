"""A chunk as a store keeps it beside what its indices look at: one value of plain data, read back whole.

One value, because a store of columns reads each of them by itself for every hit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serve_app.messages import Vectors
from serve_app.retrieval.base import UNREAD, Chunk

_SCALARS = (
    "id", "tenant", "document_id", "source", "path", "title", "text", "ordinal", "page", "media_type", "chunk_hash",
    "embedding_id",
)  # fmt: skip


def plain(chunk: Chunk) -> dict[str, Any]:
    """All of it but the vector, as JSON can have it."""
    return {
        **{name: getattr(chunk, name) for name in (*_SCALARS, "start", "end")},
        "headings": list(chunk.headings),
        # Pairs, because a key may be any text, and servers read dots in names as paths.
        "metadata": [[key, value] for key, value in chunk.metadata.items()],
    }


def chunk_of(kept: Mapping[str, Any], vector: Vectors = UNREAD) -> Chunk:
    """The chunk that `plain` was made of."""
    return Chunk(
        **{name: kept[name] for name in _SCALARS},
        start=kept.get("start"),  # chunks of earlier days have no offsets
        end=kept.get("end"),
        headings=tuple(kept["headings"]),
        vector=vector,
        metadata=dict(kept["metadata"]),
    )
