"""Cuts a loaded document into the chunks that are embedded and cited.

Knows nothing of formats and of models: tokens are counted by whom the caller passes in.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from configs.schema import ChunkingConfig
from serve_app.retrieval.documents.base import LoadedDocument

CHUNKER_VERSION = 1  # of the chunks that come out; another one cuts every document anew

CountTokens = Callable[[Sequence[str]], Awaitable[list[int]]]


@dataclass(frozen=True, slots=True)
class ChunkText:
    """A piece of a document: what is cited, and (by `embedded_text`) what is embedded."""

    headings: tuple[str, ...]  # of its section
    text: str  # a slice of the section, without blanks at its ends; never empty
    ordinal: int  # in the document, from 0
    page: int | None


async def cut(
    document: LoadedDocument, count_tokens: CountTokens, config: ChunkingConfig
) -> list[ChunkText]:
    """The document's chunks in order."""
    raise NotImplementedError


def embedded_text(title: str, chunk: ChunkText) -> str:
    """What the embedder and the lexical index see of a chunk: where it stands, then its text."""
    raise NotImplementedError
