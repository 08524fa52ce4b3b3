"""Office documents are ZIP archives of XML: what is checked before a library opens one.

Python's reader stops at the size that an archive's directory declares for an entry, so the declared
sizes are what reading can cost.
"""

from __future__ import annotations

import io
import zipfile

from serve_app.retrieval.documents.base import Unreadable

# Of python-docx and python-pptx, which read every part, and build a tree of those in XML (some 10 times
# the size in memory).
MAX_PARTS = 10_000
MAX_PART_BYTES = 64 * 1024 * 1024  # whatever its name says: its type stands elsewhere
MAX_TOTAL_BYTES = 256 * 1024 * 1024
MAX_RATIO = 200  # of the whole; XML compresses to a tenth or so, pictures hardly
_SMALL_BYTES = 8 * 1024 * 1024  # whatever its ratio

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_TYPES = "[Content_Types].xml"
_KINDS = {
    "wordprocessingml.document.main": "a Word document",
    "presentationml.presentation.main": "a presentation",
    "spreadsheetml.sheet.main": "a spreadsheet",
    "macroEnabled": "a document with macros",
}


def check_package(content: bytes, main_type: str) -> None:
    """Return if the archive may be opened, and is what it says.

    Args:
        content: of the file.
        main_type: what the content type of its main part holds.

    Raises:
        Unreadable: it is encrypted, broken, too much, or another kind of document; the message says which.
    """
    if content.startswith(OLE):
        raise Unreadable("it is encrypted, or of the binary formats before 2007 (.doc, .ppt): save it anew")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            _check_sizes(entries, len(content))
            types = archive.read(_TYPES).decode("utf-8", "replace")
    except Unreadable:
        raise
    except KeyError as exc:
        raise Unreadable("it is a ZIP archive, and no Office document") from exc
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        NotImplementedError,
        EOFError,
        OSError,
        ValueError,
    ) as exc:
        raise Unreadable(f"it is a broken Office document: {exc}") from exc
    except Exception as exc:  # decompressors have errors of their own
        raise Unreadable(f"it is a broken Office document: {exc.__class__.__name__}") from exc
    if main_type not in types:
        kind = next((name for mark, name in _KINDS.items() if mark in types), "another kind of document")
        raise Unreadable(f"it is {kind}, which its name does not say")


def _check_sizes(entries: list[zipfile.ZipInfo], num_bytes: int) -> None:
    if len(entries) > MAX_PARTS:
        raise Unreadable(f"it has {len(entries):,} parts; at most {MAX_PARTS:,} are read")
    if any(entry.flag_bits & 1 for entry in entries):
        raise Unreadable("it is encrypted")
    total = sum(entry.file_size for entry in entries)
    largest = max((entry.file_size for entry in entries), default=0)
    if total > MAX_TOTAL_BYTES or largest > MAX_PART_BYTES:
        raise Unreadable(
            f"it unpacks to {total:,} bytes, {largest:,} of them in one part; at most {MAX_TOTAL_BYTES:,} and "
            f"{MAX_PART_BYTES:,} are read"
        )
    if total > _SMALL_BYTES and total > num_bytes * MAX_RATIO:
        raise Unreadable(f"it unpacks to {total // max(num_bytes, 1):,} times its size, as only bombs do")
