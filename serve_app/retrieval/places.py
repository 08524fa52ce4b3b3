"""Where a reader finds a passage: the document's address, and the page in it."""

from __future__ import annotations

from pathlib import PurePosixPath
from urllib.parse import urlsplit

from serve_app.messages import Passage
from serve_app.retrieval.sources.base import URI

_LINKS = frozenset(("http", "https", "file", "s3", "gs", "az"))


def place_of(passage: Passage) -> str | None:
    """The address that opens the document, at the passage's page where viewers know how (RFC 8118, 3).

    None: nobody said where it is, or what was said is no address.
    """
    uri = passage.metadata.get(URI, "")
    if not uri.isprintable() or " " in uri:
        return None
    try:
        parts = urlsplit(uri)
    except ValueError:
        return None
    if parts.scheme not in _LINKS:
        return None
    is_pdf = PurePosixPath(parts.path).suffix.lower() == ".pdf"
    return f"{uri}#page={passage.page}" if is_pdf and passage.page and not parts.fragment else uri
