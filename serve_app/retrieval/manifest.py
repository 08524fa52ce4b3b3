"""What the knowledge base holds, document by document: the contract of a manifest, and what is in one.

It is written last: a document counts once its chunks are stored. Where it is kept goes with the store:
in a file beside an embedded one, on the server beside a shared one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from serve_app.messages import DocumentInfo


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a document's bytes became chunks and vectors. Another recipe means that it is done again."""

    loader_version: int
    chunker_version: int
    max_tokens: int
    overlap_tokens: int
    embedding_id: str
    dim: int

    def encoded(self) -> str:
        return json.dumps([getattr(self, name) for name in self.__slots__])

    @classmethod
    def decoded(cls, text: str) -> Recipe:
        return cls(*json.loads(text))


@dataclass(frozen=True, slots=True)
class Record:
    """A document as the manifest keeps it."""

    info: DocumentInfo
    declared_media_type: str | None  # what the client said, if it did
    recipe: Recipe | None  # None: its chunks are known to be incomplete
    chunk_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """A tenant's documents, counted."""

    num_documents: int
    num_chunks: int
    sources: Mapping[str, int]  # source -> documents in it
    generation: int
    embedding_ids: tuple[str, ...]  # of the models that the documents were embedded with
    # source -> how its documents were made -> how many; None: incomplete ones
    recipes: Mapping[str, Mapping[Recipe | None, int]] = field(default_factory=dict)


def embedding_ids(recipes: Mapping[str, Mapping[Recipe | None, int]]) -> tuple[str, ...]:
    """Of the models in a summary's recipes."""
    return tuple(sorted({one.embedding_id for made in recipes.values() for one in made if one is not None}))


class Manifest(Protocol):
    """The documents of all tenants.

    Every method raises Unavailable if the manifest cannot be used; those that write raise StorageFull if
    the disk is full.
    """

    async def records(self, tenant: str, document_ids: Sequence[str]) -> dict[str, Record]:
        """document id -> record, of those that are there."""
        ...

    async def source(self, tenant: str, source: str) -> list[Record]:
        """All documents of a source."""
        ...

    async def page(self, tenant: str, source: str | None, after: str, limit: int) -> list[Record]:
        """Documents with an id greater than `after`, by id."""
        ...

    async def chunk_ids(self, tenant: str) -> dict[str, tuple[str, ...]]:
        """document id -> ids of the chunks that it should have."""
        ...

    async def summary(self, tenant: str) -> Summary:
        """The tenant's documents, counted."""
        ...

    async def commit(self, tenant: str, put: Sequence[Record] = (), removed: Sequence[str] = ()) -> None:
        """Write and remove documents, and count the tenant's generation up. What is read next has it all."""
        ...

    async def source_states(self, tenant: str) -> dict[str, str]:
        """source -> what is kept of it; see `put_source_state`."""
        ...

    async def put_source_state(self, tenant: str, source: str, state: str) -> None:
        """Keep a text for a source, in the place of the one before; it is no document, and counts as none."""
        ...

    async def mark_incomplete(self, tenant: str, document_ids: Sequence[str]) -> None:
        """Forget how these documents were made, so that the next sync makes them again."""
        ...

    async def close(self) -> None: ...
