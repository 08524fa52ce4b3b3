"""PDF: a section per page, so that a citation names the page.

Only a text layer is read; there is no recognition of scanned pages.
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator

import pypdf
from pypdf.errors import DependencyError

from serve_app.retrieval.documents.base import MAX_CHARS, MAX_PDF_PAGES, Parsed, Section, Unreadable, dates

# Page descriptions are interpreted in Python, at a few MB/s; beyond this a page is a drawing or a bomb.
_MAX_PAGE_BYTES = 16 * 1024 * 1024
_MAX_TOTAL_BYTES = 512 * 1024 * 1024
_HYPHENATED = re.compile(r"(?<=[^\W\d_])-\n(?=[^\W\d_])")
_FILE_NAME = re.compile(r"\.\w{2,4}$|^untitled$|^Microsoft \w+ - ", re.IGNORECASE)

# pypdf logs every oddity of a file that it could read in spite of it.
logging.getLogger("pypdf").setLevel(logging.ERROR)


def read_pdf(content: bytes) -> Parsed:
    try:
        parsed = _read(content)
    except Unreadable:
        raise
    except (RecursionError, MemoryError) as exc:
        raise Unreadable("it is a broken PDF: its objects are nested without end") from exc
    except Exception as exc:  # a parser of hostile bytes fails in any way, and pypdf with any type
        fault = " ".join(str(exc).split())[:200] or type(exc).__name__
        raise Unreadable(f"it is a broken PDF: {fault}") from exc
    if not any(section.text.strip() for section in parsed.sections):
        raise Unreadable("it has no text layer: scanned pages need recognition (OCR) first")
    return parsed


def _read(content: bytes) -> Parsed:
    reader = pypdf.PdfReader(io.BytesIO(content))
    _unlock(reader)
    num_pages = len(reader.pages)
    if num_pages > MAX_PDF_PAGES:
        raise Unreadable(f"it has {num_pages:,} pages; at most {MAX_PDF_PAGES:,} are read")
    return Parsed(_title(reader), tuple(_pages(reader)), _dates(reader))


def _unlock(reader: pypdf.PdfReader) -> None:
    """Open a file that anyone may read; many are encrypted with an empty password to forbid printing."""
    if not reader.is_encrypted:
        return
    try:
        is_open = bool(reader.decrypt(""))
    except (DependencyError, NotImplementedError) as exc:
        raise Unreadable(f"it is encrypted in a way that is not served: {exc}") from exc
    if not is_open:
        raise Unreadable("it is encrypted, and opens with a password only")


def _pages(reader: pypdf.PdfReader) -> Iterator[Section]:
    num_bytes = num_chars = 0
    for number, page in enumerate(reader.pages, start=1):
        contents = page.get_contents()
        size = len(contents.get_data()) if contents is not None else 0
        num_bytes += size
        if size > _MAX_PAGE_BYTES or num_bytes > _MAX_TOTAL_BYTES:
            raise Unreadable(
                f"page {number} is too much to read: {size:,} bytes of page description, {num_bytes:,} so far;"
                f" at most {_MAX_PAGE_BYTES:,} a page and {_MAX_TOTAL_BYTES:,} in all"
            )
        text = page.extract_text() if size else ""
        num_chars += len(text)
        if num_chars > MAX_CHARS:
            raise Unreadable(f"it holds more than {MAX_CHARS:,} characters")
        # A word hyphenated at a line's end is not found; joining costs the rare compound its hyphen.
        yield Section((), _HYPHENATED.sub("", text), number)


def _dates(reader: pypdf.PdfReader) -> dict[str, str]:
    if reader.metadata is None:
        return {}
    try:
        return dates(reader.metadata.creation_date, reader.metadata.modification_date)
    except (ValueError, OverflowError, TypeError, AttributeError):
        return {}  # many programs write dates that are none


def _title(reader: pypdf.PdfReader) -> str | None:
    """The title in the file's properties, unless it is a file name that some program left there."""
    title = (reader.metadata.title if reader.metadata else None) or ""
    return None if not title.strip() or _FILE_NAME.search(title.strip()) else title
