"""The contract of a source of documents: what there is, and what is in it.

A source knows nothing of chunks, tenants or stores. It never guesses: what cannot be listed whole is
an error, because "not listed" means "gone" to whoever compares.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from serve_app.errors import Unavailable

URI = "uri"  # metadata key: where a reader finds the document
MODIFIED_AT = "modified_at"  # metadata key: ISO 8601 in UTC


class SourceUnavailable(Unavailable):
    """The source cannot be listed, or not to its end. Nothing can be said about what is gone."""


class ObjectUnreadable(Exception):
    """One object cannot be read now, or may not be: gone since it was listed, too large, not allowed.

    The others go on. The message says why, without the object's path, which the caller adds.
    """


@dataclass(frozen=True, slots=True)
class SourceObject:
    """A document as the listing tells of it."""

    path: str  # its name inside the source; the suffix says its format
    location: str  # by which `read` finds it: a file's path, a key, a URL
    # What the source calls its present state: SHA-256 of the bytes (64 hex digits), or an ETag or date with
    # its kind before it ("etag:..."). None: nobody knows before it is read.
    version: str | None
    num_bytes: int | None = None  # None: nobody knows before it is read
    metadata: Mapping[str, str] = field(default_factory=dict)  # URI, MODIFIED_AT


@dataclass(frozen=True, slots=True)
class Content:
    """What was read, which may be newer than what was listed."""

    data: bytes
    version: str = ""  # of these bytes; "": their hash is all that is known
    media_type: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


class Source(Protocol):
    """A collection of documents that others keep. One reader at a time lists it; many may read at once."""

    @property
    def name(self) -> str:
        """What the base calls it."""
        ...

    @property
    def is_whole(self) -> bool:
        """Whether a listing is all that there is, so that what it lacks is gone. Single files are not."""
        ...

    @property
    def max_concurrent_reads(self) -> int:
        """Reads that the source bears at once."""
        ...

    @property
    def num_skipped(self) -> int:
        """Objects that the last listing left out: of a format that is not read, excluded, or not allowed."""
        ...

    def objects(self) -> AsyncIterator[SourceObject]:
        """All objects, each path once, in a stable order.

        Raises:
            SourceUnavailable: the listing broke off, or could not begin. What came before is no whole.
        """
        ...

    async def read(self, wanted: SourceObject, max_bytes: int, known_version: str = "") -> Content | None:
        """What is in it now; None if it still is what `known_version` names, which saves the transfer.

        Never holds more than `max_bytes` and one buffer.

        Raises:
            ObjectUnreadable: it has more bytes, is gone, or may not be read.
            SourceUnavailable: nothing of the source can be read at the moment.
        """
        ...

    async def close(self) -> None: ...


def iso_utc(moment: datetime) -> str:
    """A moment as the metadata has it; one without a zone is in UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat(timespec="seconds")


def too_large(num_bytes: int | None, max_bytes: int) -> ObjectUnreadable:
    size = "more" if num_bytes is None else f"{num_bytes:,}"
    return ObjectUnreadable(f"it has {size} bytes; the limit is {max_bytes:,}")
