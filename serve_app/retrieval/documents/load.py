"""From bytes to text: chooses the loader of a document, and normalises what it found.

Knows nothing of chunks, tenants or stores.
"""

from __future__ import annotations

from serve_app.messages import DocumentInput
from serve_app.retrieval.documents.base import LoadedDocument, Section

__all__ = ["LOADER_VERSION", "LoadedDocument", "Section", "load"]

LOADER_VERSION = 1  # of the text that comes out; another one ingests every document anew


def load(document: DocumentInput) -> LoadedDocument:
    """The document's text by sections. Blocks, for seconds where the document is large.

    Raises:
        BadRequest: nobody reads this kind of document, or this one is broken, encrypted, empty or
            too large. The message names the path and the fault.
    """
    raise NotImplementedError
