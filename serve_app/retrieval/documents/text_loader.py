"""Plain text: one section, its paragraphs as they stand."""

from __future__ import annotations

from serve_app.retrieval.documents.base import Parsed, Section
from serve_app.retrieval.documents.plain_text import decode


def read_text(content: bytes) -> Parsed:
    return Parsed(None, (Section((), decode(content), None),))
