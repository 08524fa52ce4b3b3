"""From bytes to text: chooses the loader of a document, and normalises what it found.

Knows nothing of chunks, tenants or stores.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from serve_app.errors import BadRequest
from serve_app.messages import DocumentInput
from serve_app.retrieval.documents.base import (
    MAX_CHARS,
    LoadedDocument,
    Loader,
    Parsed,
    Section,
    Unreadable,
)
from serve_app.retrieval.documents.plain_text import normal, one_line

__all__ = ["LOADER_VERSION", "SUFFIXES", "LoadedDocument", "Section", "load"]

LOADER_VERSION = 1  # of the text that comes out; another one ingests every document anew

_OFFICE = "application/vnd.openxmlformats-officedocument"
DOCX = f"{_OFFICE}.wordprocessingml.document"
PPTX = f"{_OFFICE}.presentationml.presentation"
# suffix -> media type under which the document is kept
SUFFIXES = {
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".txt": "text/plain",
    ".text": "text/plain",
    ".html": "text/html",
    ".htm": "text/html",
    ".xhtml": "text/html",
    ".json": "application/json",
    ".jsonl": "application/x-ndjson",
    ".ndjson": "application/x-ndjson",
    ".csv": "text/csv",
    ".tsv": "text/csv",
    ".pdf": "application/pdf",
    ".docx": DOCX,
    ".pptx": PPTX,
}
# other names that clients use -> ours
_ALIASES = {
    "text/x-markdown": "text/markdown",
    "application/xhtml+xml": "text/html",
    "application/jsonl": "application/x-ndjson",
    "application/x-jsonlines": "application/x-ndjson",
    "application/csv": "text/csv",
    "text/tab-separated-values": "text/csv",
    "application/x-pdf": "application/pdf",
}
_UNSPECIFIC = frozenset(
    ("", "application/octet-stream", "binary/octet-stream")
)  # what clients send for any file


# First bytes of files that are no text, though some of them look like it to a decoder.
_SIGNATURES = {
    b"%PDF-": "a PDF",
    b"PK\x03\x04": "a ZIP archive, as Office documents are",
    b"\xd0\xcf\x11\xe0": "an Office document of the formats before 2007, or an encrypted one",
    b"\x1f\x8b": "a gzip archive",
    b"{\\rtf": "Rich Text Format",
}
_BINARY = frozenset(("application/pdf", DOCX, PPTX))


def load(document: DocumentInput) -> LoadedDocument:
    """The document's text by sections. Blocks, for seconds where the document is large.

    Raises:
        BadRequest: nobody reads this kind of document, or this one is broken, encrypted, empty or
            too large. The message names the path and the fault.
    """
    media_type = media_type_of(document.path, document.media_type)
    try:
        _check_signature(document.content, media_type)
        parsed = _loader(media_type)(document.content)
        sections = tuple(_normal_sections(parsed))
    except Unreadable as exc:
        raise BadRequest(f"{document.path}: {exc}") from exc
    if not sections:
        raise BadRequest(f"{document.path}: it holds no text")
    title = one_line(parsed.title or "") or one_line(PurePosixPath(document.path).stem) or document.path
    return LoadedDocument(title, media_type, sections, dict(parsed.dates))


def suffix_is_read(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in SUFFIXES


def media_type_of(path: str, declared: str | None) -> str:
    """As what a document is read: as it was declared, else by its suffix.

    Raises:
        BadRequest: nobody reads that.
    """
    given = (declared or "").partition(";")[0].strip().lower()
    given = _ALIASES.get(given, given)
    if given in SUFFIXES.values():
        return given
    suffix = PurePosixPath(path).suffix.lower()
    if given in _UNSPECIFIC and suffix in SUFFIXES:
        return SUFFIXES[suffix]
    kind = (
        f"media type {given}"
        if given not in _UNSPECIFIC
        else f"suffix {suffix}"
        if suffix
        else "name without a suffix"
    )
    raise BadRequest(
        f"{path}: documents of {kind} are not read; served are {', '.join(SUFFIXES)}"
        f" and the media types {', '.join(sorted(set(SUFFIXES.values())))}"
    )


def _check_signature(content: bytes, media_type: str) -> None:
    """Return unless the first bytes say that this is no text, and the name says that it is."""
    if media_type in _BINARY:
        return
    for signature, kind in _SIGNATURES.items():
        if content.startswith(signature):
            raise Unreadable(f"by its first bytes it is {kind}, not {media_type}")


def _loader(media_type: str) -> Loader:
    """The format's reader; its library is imported when the first document of its kind comes."""
    match media_type:
        case "text/markdown":
            from serve_app.retrieval.documents.markdown_loader import read_markdown as loader
        case "text/html":
            from serve_app.retrieval.documents.html_loader import read_html as loader
        case "application/json":
            from serve_app.retrieval.documents.json_loader import read_json as loader
        case "application/x-ndjson":
            from serve_app.retrieval.documents.json_loader import read_json_lines as loader
        case "text/csv":
            from serve_app.retrieval.documents.csv_loader import read_csv as loader
        case "application/pdf":
            from serve_app.retrieval.documents.pdf_loader import read_pdf as loader
        case _ if media_type == DOCX:
            from serve_app.retrieval.documents.docx_loader import read_docx as loader
        case _ if media_type == PPTX:
            from serve_app.retrieval.documents.pptx_loader import read_pptx as loader
        case _:
            from serve_app.retrieval.documents.text_loader import read_text as loader
    return loader


def _normal_sections(parsed: Parsed) -> Iterator[Section]:
    num_chars = 0
    for section in parsed.sections:
        num_chars += len(section.text)
        if num_chars > MAX_CHARS:
            raise Unreadable(f"it holds more than {MAX_CHARS:,} characters")
        text = normal(section.text)
        if text.strip():
            headings = (one_line(heading) for heading in section.headings)
            yield Section(tuple(heading for heading in headings if heading), text, section.page)
