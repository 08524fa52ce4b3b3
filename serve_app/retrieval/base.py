"""The contracts of the knowledge base: what callers see, and what a store must do.

Every call carries the tenant; nothing here can be asked without one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from serve_app.messages import (
    Deadline,
    DocumentInfo,
    DocumentInput,
    DocumentOutcome,
    KnowledgeStatus,
    RebuildReport,
    RequestContext,
    SearchQuery,
    SearchResult,
    SyncPlan,
)


class KnowledgeClient(Protocol):
    """The knowledge base, as the ingress and the agent see it."""

    async def search(self, query: SearchQuery, context: RequestContext) -> SearchResult:
        """The passages that fit the query best.

        If the embedder is down the search is lexical only and says so in `flags`.

        Raises:
            BadRequest: an unknown filter field, an empty query, k out of bounds.
            Unavailable: the store cannot be read.
            DeadlineExceeded: the time was over.
        """
        ...

    async def plan_sync(
        self, source: str, sha256_by_path: Mapping[str, str], context: RequestContext
    ) -> SyncPlan:
        """What of a source is new, changed or gone.

        Judged by the SHA-256 of each document's bytes, or by what its source calls its state (`version` of
        DocumentInput); an empty text stands for a state that is not known yet.
        """
        ...

    async def put_documents(
        self, source: str, documents: Sequence[DocumentInput], context: RequestContext
    ) -> tuple[DocumentOutcome, ...]:
        """Add or replace documents. One that cannot be read is reported as failed; the others go on.

        Raises:
            StorageFull: the disk is full; documents stored before are intact.
            Unavailable: the embedder or the store is down; nothing of this call was acknowledged.
        """
        ...

    async def delete_documents(self, document_ids: Sequence[str], context: RequestContext) -> int:
        """Remove documents with all their chunks; returns how many there were."""
        ...

    async def sync_failed(self, source: str, reason: str, context: RequestContext) -> None:
        """Note that a sync of the source broke off, and why; the next look at the source forgets it."""
        ...

    async def begin_sync(self, source: str, context: RequestContext) -> None:
        """Sync one of the configured sources in the background, unless that is being done.

        Raises:
            NotFound: the configuration has no such source for this tenant.
        """
        ...

    async def rebuild(self, context: RequestContext, *, reindexes: bool = True) -> RebuildReport:
        """Embed again what another model embedded, as far as the time goes; then, with `reindexes`, swap the index.

        Searches answer all the time. A report with documents left wants to be called again.

        Raises:
            Unavailable: the embedder or the store is down, or another replica is at it; what was done counts.
        """
        ...

    async def list_documents(
        self, context: RequestContext, *, source: str | None = None, after: str = "", limit: int = 100
    ) -> tuple[DocumentInfo, ...]:
        """Documents ordered by id, those whose id is greater than `after`, at most `limit`."""
        ...

    async def status(self, context: RequestContext) -> KnowledgeStatus:
        """Counts, sources and generation of the tenant's base.

        Raises:
            Unavailable: the store cannot be read.
        """
        ...


# The vector of a chunk that was found by a search without need of it: not read back, since it is more bytes
# than all the rest of a hit.
UNREAD: NDArray[np.float32] = np.empty(0, np.float32)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document, as a store keeps it."""

    id: str  # hash(tenant, source, path, chunk hash, ordinal)
    tenant: str
    document_id: str
    source: str
    path: str
    title: str
    headings: tuple[str, ...]
    text: str
    ordinal: int
    page: int | None
    media_type: str
    chunk_hash: str  # of what is embedded: the same text is embedded once
    vector: NDArray[np.float32]  # (dim,) L2-normalised; in a search's hits UNREAD, unless it was asked for
    embedding_id: str  # of the model that made the vector; only vectors of one model are compared
    metadata: Mapping[str, str] = field(default_factory=dict)
    start: int | None = None  # where its text is in the document's, in characters; None: not known
    end: int | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that one leg of a search found. `score` is BM25 or cosine; higher is better."""

    chunk: Chunk
    score: float


@dataclass(frozen=True, slots=True)
class OneOf:
    """The field has one of these values; of none, where there are none."""

    values: tuple[str, ...]


class Scale(StrEnum):
    """What a range compares: a metadata value counts where it can be read as one."""

    NUMBER = "number"
    DATE = "date"  # milliseconds since 1970 in UTC


@dataclass(frozen=True, slots=True)
class Between:
    """The field's number or date is at least `low` and at most `high`; None leaves that end open."""

    scale: Scale
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Exists:
    """The field has a value, or has none."""

    wanted: bool


Condition = OneOf | Between | Exists
# field -> what must hold; checked by `filters.parse`, so every field is known. All of them must hold.
Filters = Mapping[str, Condition]


@dataclass(frozen=True, slots=True)
class Fused:
    """A chunk in the ranking of both legs, and how each of them saw it."""

    chunk: Chunk
    score: float  # of the fusion; higher is better
    cosine: float | None  # None: the chunk has no vector of the query's model
    bm25: float | None  # None: not among the lexical leg's candidates
    lexical_rank: int | None = None  # from 1; None: not a candidate, or the server that fuses does not tell
    dense_rank: int | None = None


@dataclass(frozen=True, slots=True)
class HybridQuery:
    """What both legs of a search need."""

    text: str
    embedding_id: str
    vector: NDArray[np.float32]  # (dim,) L2-normalised
    num_candidates: int  # that each leg hands to the fusion
    rank_constant: int
    lexical_weight: float = 1.0
    dense_weight: float = 1.0

    @property
    def is_even(self) -> bool:
        """Whether both legs count alike, which is the only fusion that servers know."""
        return self.lexical_weight == self.dense_weight


class Store(Protocol):
    """Keeps chunks and finds them again, lexically and by vector.

    A store knows nothing of documents' loaders, of embedders, or of the sync: `manifest` does. It may
    hold vectors of several models at once, while a base moves from one to the next: the lexical search
    sees every chunk, the dense one only those of the model that is asked for.

    Searches take the request's deadline; a store in this process may leave it to the caller's timeout.
    Writes take none: once begun they run to their end, or to the store's own limits.

    Every method raises Unavailable if the store cannot be used as it is, Overloaded if it asks for
    patience and had enough of it, DeadlineExceeded; writes raise StorageFull too.
    """

    @property
    def fuses(self) -> bool:
        """Whether `search_hybrid` costs less than both its legs. If not, ask the legs, each as soon as it can."""
        ...

    async def generation(self) -> str:
        """Which index answers now: another name means that what was known about its content no longer holds."""
        ...

    async def upsert(self, chunks: Sequence[Chunk]) -> None:
        """Write chunks, replacing those with the same id. All of them are found afterwards."""
        ...

    async def delete(self, tenant: str, chunk_ids: Sequence[str]) -> None:
        """Remove chunks by id; ids that are not there are ignored."""
        ...

    async def delete_source(self, tenant: str, source: str) -> None:
        """Remove all chunks of a source."""
        ...

    async def vectors(
        self, tenant: str, embedding_id: str, chunk_hashes: Sequence[str]
    ) -> dict[str, NDArray[np.float32]]:
        """chunk_hash -> (dim,) vector of that model, for those hashes that the tenant already has."""
        ...

    async def search_lexical(
        self,
        tenant: str,
        text: str,
        k: int,
        filters: Filters,
        deadline: Deadline | None = None,
        *,
        reads_vectors: bool = False,
    ) -> list[Hit]:
        """At most k chunks by BM25 over title, headings and text, best first.

        Words are compared as English: case, accents, plurals and stop words do not count. Any text is a
        query: there are no operators. The filters are applied before the k are chosen. The hits have their
        vectors if `reads_vectors`, for a fusion that compares those that the dense leg did not find.
        """
        ...

    async def search_dense(
        self,
        tenant: str,
        embedding_id: str,
        vector: NDArray[np.float32],
        k: int,
        filters: Filters,
        deadline: Deadline | None = None,
    ) -> list[Hit]:
        """At most k chunks by cosine, best first, among those that this model embedded with this dimension.

        The filters are applied before the k are chosen. A store with an approximate index may miss a few.
        The hits have no vectors: their scores are what one would need them for.
        """
        ...

    async def search_hybrid(
        self, tenant: str, query: HybridQuery, k: int, filters: Filters, deadline: Deadline | None = None
    ) -> list[Fused]:
        """At most k chunks by reciprocal rank fusion of both legs, best first: see `fusion`."""
        ...

    async def page(self, tenant: str, after: str, limit: int, filters: Filters) -> list[Chunk]:
        """Chunks ordered by id (by code points), those whose id is greater than `after`, at most `limit`."""
        ...

    async def chunk_ids(self, tenant: str) -> set[str]:
        """Ids of all chunks of a tenant; what the manifest is compared with after a crash."""
        ...

    async def count(self, tenant: str) -> int:
        """Chunks of a tenant."""
        ...

    async def optimize(self) -> None:
        """Bring the indices up to date after many writes. Searches are right without it, but slower."""
        ...

    @property
    def is_frozen(self) -> bool:
        """Whether the index took no writes when `generation` last saw it: it is being rebuilt, or was."""
        ...

    async def thaw(self) -> None:
        """Let the index be written again, and drop what a rebuild that was killed has left."""
        ...

    async def rebuild(self) -> None:
        """Make the index anew, as it is configured now, from what it holds: nothing is embedded again.

        Searches answer all the time, from the old index until the new one is complete. Writes meanwhile
        wait or are refused. Broken off, the old index goes on, and the next rebuild begins again.
        """
        ...

    async def close(self) -> None: ...
