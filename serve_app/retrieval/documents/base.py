"""What a loader makes of a document, and what it may cost.

Knows no format: `load` chooses the loader, one file per format implements it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

# Far above any book; below what would fill a replica's memory (4 bytes a character, some copies).
MAX_CHARS = 50_000_000
MAX_PDF_PAGES = 5_000


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a document that stands under one heading, or on one page. Its text is never blank."""

    headings: tuple[str, ...]  # from the document's first level down to the section's own
    text: str  # paragraphs are apart by one blank line
    page: int | None  # from 1, where the format has pages


@dataclass(frozen=True, slots=True)
class LoadedDocument:
    """A document's text in the order of reading."""

    title: str  # the document's own; the file's name where it has none
    media_type: str
    sections: tuple[Section, ...]  # at least one
    dates: Mapping[str, str] = field(default_factory=dict)  # see `dates`

    @property
    def text(self) -> str:
        """What offsets of chunks are offsets in."""
        return "\n\n".join(section.text.strip() for section in self.sections)


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a loader found. Sections may be blank and texts raw: `load` normalises both."""

    title: str | None
    sections: Iterable[Section]
    dates: Mapping[str, str] = field(default_factory=dict)  # see `dates`


def dates(created: datetime | None, modified: datetime | None) -> dict[str, str]:
    """What a document says of its own dates, as metadata: ISO 8601 in UTC; absent where it says nothing.

    A moment without a zone is taken for UTC, which Office's formats say it is.
    """
    given = {"created_at": created, "modified_at": modified}
    return {name: moment for name, one in given.items() if one and (moment := _iso_utc(one))}


def _iso_utc(moment: datetime) -> str:
    try:
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return aware.astimezone(UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError):
        return ""  # of the first or last day of the calendar


class Unreadable(Exception):
    """The bytes are not what they claim to be, or too much. `load` adds the path for the client."""


def bounded(parts: Iterable[str]) -> Iterator[str]:
    """The parts, as long as they are no more than a document may hold.

    For formats that say a header or a key before each value: there a small file can make an endless text.

    Raises:
        Unreadable: they are more.
    """
    num_chars = 0
    for part in parts:
        num_chars += len(part)
        if num_chars > MAX_CHARS:
            raise Unreadable(f"it holds more than {MAX_CHARS:,} characters")
        yield part


class Loader(Protocol):
    """Reads one format."""

    def __call__(self, content: bytes) -> Parsed:
        """The document's sections, in order.

        Raises:
            Unreadable: the content is broken, encrypted, or beyond a limit; the message says which.
        """
        ...
