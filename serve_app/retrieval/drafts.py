"""Documents on their way in: checked, read and cut, before anything is embedded or stored."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from configs.schema import KnowledgeConfig
from serve_app.errors import BadRequest
from serve_app.messages import DocumentInput, RequestContext
from serve_app.retrieval import identity
from serve_app.retrieval.documents.chunking import ChunkText, cut, embedded_text
from serve_app.retrieval.documents.load import load
from serve_app.retrieval.embedding import CheckedEmbedder


@dataclass(frozen=True, slots=True)
class Piece:
    """A chunk before it has a vector."""

    id: str
    text_hash: str
    embedded_text: str
    chunk: ChunkText


@dataclass(frozen=True, slots=True)
class Draft:
    """A document that was read and cut."""

    document: DocumentInput
    document_id: str
    sha256: str
    title: str
    media_type: str
    num_bytes: int  # of the document
    pieces: tuple[Piece, ...]
    dates: Mapping[str, str] = field(default_factory=dict)  # what it says of itself


def sha256_of(document: DocumentInput) -> str:
    return hashlib.sha256(document.content).hexdigest()


def check_name(value: str, param: str) -> None:
    """Sources and paths are names, never opened, so that any text will do: but there must be one.

    Raises:
        BadRequest: it is empty or no valid Unicode.
    """
    if not value.strip():
        raise BadRequest(f"the {param} is empty", param)
    if not identity.is_unicode(value):
        raise BadRequest(f"the {param} {value!r} is not valid Unicode", param)


def check_document(document: DocumentInput, max_bytes: int) -> None:
    """What can be said against a document before it is read.

    Raises:
        BadRequest: with the reason.
    """
    check_name(document.path, "path")
    num_bytes = len(document.content)
    if num_bytes > max_bytes:
        raise BadRequest(f"the document has {num_bytes} bytes; the limit is {max_bytes}", "content")
    _check_metadata(document.metadata)


async def draft(
    document: DocumentInput,
    source: str,
    config: KnowledgeConfig,
    embedder: CheckedEmbedder,
    context: RequestContext,
) -> Draft:
    """The document, read and cut.

    Raises:
        BadRequest: it cannot be read, or there is no text in it.
        Unavailable: the embedder, whose tokens limit the chunks, is down.
    """
    loaded = await asyncio.to_thread(load, document)

    async def count_tokens(texts: Sequence[str]) -> list[int]:
        return await embedder.count_tokens(texts, context)

    chunks = await cut(loaded, count_tokens, config.chunking)
    if not chunks:
        raise BadRequest("there is no text in the document", "content")
    return Draft(
        document=document,
        document_id=identity.document_id(context.tenant, source, document.path),
        sha256=sha256_of(document),
        title=loaded.title,
        media_type=loaded.media_type,
        num_bytes=len(document.content),
        pieces=tuple(_piece(chunk, loaded.title, source, document.path, context.tenant) for chunk in chunks),
        dates=loaded.dates,
    )


def _piece(chunk: ChunkText, title: str, source: str, path: str, tenant: str) -> Piece:
    text = embedded_text(title, chunk)
    text_hash = identity.chunk_hash(text)
    return Piece(
        id=identity.chunk_id(tenant, source, path, text_hash, chunk.ordinal),
        text_hash=text_hash,
        embedded_text=text,
        chunk=chunk,
    )


def _check_metadata(metadata: Mapping[str, str]) -> None:
    for key, value in metadata.items():
        if not (isinstance(key, str) and isinstance(value, str) and key and identity.is_unicode(key + value)):
            raise BadRequest(f"metadata.{key} must be a text under a name", "metadata")
