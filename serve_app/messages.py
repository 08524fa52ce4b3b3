"""What travels between replicas: frozen, picklable, and free of any library but numpy.

Knows nothing of HTTP or Ray. Times are durations or this process's monotonic clock, never wall time.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serve_app.errors import DeadlineExceeded

JsonObject = dict[str, Any]
Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Deadline:
    """The moment at which a request's time is over, on this process's monotonic clock.

    Clocks of two machines differ, so pickling carries the time that remains and the receiver starts
    it on its own clock. Time spent on the wire is therefore given to the request, not taken from it.
    """

    at_monotonic_s: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        return cls(time.monotonic() + seconds)

    def remaining_s(self) -> float:
        """Seconds left; negative once the time is over."""
        return self.at_monotonic_s - time.monotonic()

    def within(self, seconds: float) -> float:
        """The time that a stage may take: its own budget or what remains, whichever is sooner; >= 0."""
        return max(0.0, min(seconds, self.remaining_s()))

    def check(self, stage: str) -> None:
        """Raise DeadlineExceeded, naming `stage`, if the time is over."""
        if self.remaining_s() <= 0:
            raise DeadlineExceeded(f"the request's time was over at: {stage}", stage)

    def __reduce__(self) -> tuple[Any, tuple[float]]:
        return (Deadline.after, (self.remaining_s(),))


class Priority(StrEnum):
    """Who goes first when an engine is full."""

    INTERACTIVE = "interactive"
    BATCH = "batch"


class CancelReason(StrEnum):
    """Why work was stopped before its end, as metrics count it."""

    CALLER_LEFT = "caller_left"  # the client is gone, or another branch has won
    DEADLINE = "deadline"
    CONNECTION_LOST = "connection_lost"  # between two replicas
    REPLACED = "replaced"  # the replica's grace time was over


@dataclass(frozen=True, slots=True)
class RequestContext:
    """What every call carries besides its payload."""

    request_id: str
    tenant: str
    deadline: Deadline
    priority: Priority = Priority.INTERACTIVE
    traceparent: str | None = None  # W3C trace context
    # the tenant's, where engines that are full are shared by tenant; None: first come, first served
    weight: float | None = None
    session: str | None = None  # what the client calls its conversation; where affinity is by session
    is_again: bool = False  # it was sent before, to a replica that was lost or full

    def again(self) -> RequestContext:
        """The same for another attempt."""
        return replace(self, is_again=True)

    def at_most(self, seconds: float | None) -> RequestContext:
        """The same with no more than so many seconds left; None sets no limit."""
        if seconds is None or self.deadline.remaining_s() <= seconds:
            return self
        return replace(self, deadline=Deadline.after(seconds))


class Endpoint(StrEnum):
    """Endpoints that a model can serve, OpenAI's and those that vLLM has besides."""

    CHAT = "chat/completions"
    COMPLETIONS = "completions"
    RESPONSES = "responses"
    MESSAGES = "messages"  # Anthropic's
    EMBEDDINGS = "embeddings"
    RERANK = "rerank"
    SCORE = "score"
    CLASSIFY = "classify"
    POOLING = "pooling"
    TOKENIZE = "tokenize"
    DETOKENIZE = "detokenize"

    @property
    def path(self) -> str:
        """Of its URL; what vLLM keeps outside of /v1 is outside here too."""
        return f"/{self.value}" if self in _OUTSIDE_OF_V1 else f"/v1/{self.value}"


_OUTSIDE_OF_V1 = frozenset({Endpoint.CLASSIFY, Endpoint.POOLING, Endpoint.TOKENIZE, Endpoint.DETOKENIZE})


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What /v1/models and /readyz say about a model."""

    name: str
    engine: str
    endpoints: tuple[Endpoint, ...]
    context_tokens: int | None = None  # prompt and answer together
    dim: int | None = None  # of an embedder's vectors
    embedding_id: str | None = None  # changes when vectors stop being comparable: weights, type, pooling
    is_generative: bool = True
    max_deadline_s: float | None = None  # most seconds that a request of it has
    abilities: frozenset[str] = (
        frozenset()
    )  # request fields that it honours beyond those that every text engine does
    # Each request is a call that Serve places: its replicas follow the number of calls, or are chosen by what is asked.
    has_own_calls: bool = False
    reads_requests: bool = False  # its engine reads bodies itself, so they pass as the client sent them
    # "tools", "json_schema", "vision" -> whether requests with them are served; absent: the configuration does not tell
    serves: Mapping[str, bool] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """chat, agent, group, embedder, reranker or pooling."""
        if self.engine in ("agent", "group"):
            return self.engine
        if Endpoint.CHAT in self.endpoints:
            return "chat"
        if len(self.endpoints) > 1:
            return "pooling"
        return "embedder" if Endpoint.EMBEDDINGS in self.endpoints else "reranker"


@dataclass(frozen=True, slots=True)
class EmbeddingInput:
    """Texts to embed, or each as the model's token ids."""

    texts: list[str] | list[list[int]]
    is_query: bool = False  # for models that see questions otherwise than documents
    truncate: bool = False  # cut what is too long for the model, instead of refusing it


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Vectors for n texts, in the order of the texts."""

    vectors: Vectors  # (n, dim) float32, L2-normalised
    num_tokens: tuple[int, ...]  # of each text as the model saw it, special tokens included
    num_truncated: int = 0  # texts that were cut to the model's limit, on request
    embedding_id: str | None = None  # the model card's: vectors of different ids are not comparable


@dataclass(frozen=True, slots=True)
class Scores:
    """How well each of n passages answers a query, in the order of the passages."""

    values: tuple[float, ...]  # 0..1
    num_tokens: int = 0  # that the model read
    num_truncated: int = 0  # passages that were cut to the model's limit


# ---------------------------------------------------------------- knowledge base


class SearchMode(StrEnum):
    """Which legs of the search run."""

    HYBRID = "hybrid"
    LEXICAL = "lexical"
    DENSE = "dense"


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """A search of one tenant's knowledge base; the tenant comes with the RequestContext."""

    text: str
    k: int = 6  # passages wanted
    mode: SearchMode = SearchMode.HYBRID
    # field -> value it must equal, list of values of which it must be one, range, or {"exists": bool}.
    # Fields: source, path, media_type, document_id, page, ordinal, and metadata keys as "metadata.KEY".
    filters: Mapping[str, Any] = field(default_factory=dict)
    lexical_weight: float = 1.0  # of the leg in the fusion
    dense_weight: float = 1.0
    rerank: bool | None = None  # None: as configured
    explain: bool = False  # tell each leg's ranks, and what each stage took
    joins: bool = False  # passages that follow each other in a document come as one


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document that was found, and how each leg of the search saw it."""

    id: str
    document_id: str
    source: str  # the collection that the document was ingested under
    path: str  # of the document inside its source
    title: str
    headings: tuple[str, ...]  # from the document's title down to the passage's own section
    text: str
    ordinal: int  # of the chunk in its document, from 0
    page: int | None = None  # from 1, where the format has pages
    metadata: Mapping[str, str] = field(default_factory=dict)
    start: int | None = None  # where the text begins and ends in the document's own, in characters
    end: int | None = None  # None: ingested before offsets were kept
    score: float = 0.0  # what the passages are ordered by: RRF in hybrid mode; not calibrated
    cosine: float | None = None  # None: the dense leg did not look at it
    bm25: float | None = None  # None: the lexical leg did not find it
    lexical_rank: int | None = None  # from 1, in that leg; told if the query asks to `explain`
    dense_rank: int | None = None
    rerank: float | None = None  # the reranker's score, 0..1; None: it did not look at it


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Passages, best first. `flags` say what is missing from the search (lexical_only)."""

    passages: tuple[Passage, ...]
    flags: tuple[str, ...] = ()
    took_s: float = 0.0
    embedding_id: str | None = None  # of the model that the cosines are of; None: there are none
    stages_ms: Mapping[str, float] = field(default_factory=dict)  # what took how long, if the query asks
    stale_sources: tuple[str, ...] = ()  # of the passages, those known not to be current


@dataclass(frozen=True, slots=True)
class DocumentInput:
    """One document as the client sent it."""

    path: str
    content: bytes
    media_type: str | None = None  # None: guessed from the path's suffix
    metadata: Mapping[str, str] = field(default_factory=dict)
    version: str = ""  # what its source calls this state of it (an ETag); "": the source has no name for it


class DocumentStatus(StrEnum):
    """What ingestion did with a document."""

    ADDED = "added"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REMOVED = "removed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class DocumentOutcome:
    """The result of ingesting one document."""

    path: str
    status: DocumentStatus
    document_id: str = ""
    num_chunks: int = 0
    num_embedded: int = 0  # chunks whose text was not known before
    reason: str = ""  # why it failed


@dataclass(frozen=True, slots=True)
class SyncPlan:
    """What a client still has to send so that a source is current."""

    upload: tuple[str, ...]  # paths that are new or changed
    num_unchanged: int
    gone: tuple[str, ...]  # document ids in the base that the client no longer has
    num_known: int = 0  # documents of the source in the base
    num_new: int = 0  # of `upload`, those that the base has never seen
    # path -> version, of those in `upload` that need not be sent if they still have it
    known: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DocumentInfo:
    """A document of the knowledge base, without its text."""

    id: str
    source: str
    path: str
    title: str
    media_type: str
    sha256: str
    num_chunks: int
    num_bytes: int
    ingested_at: str  # ISO 8601, UTC
    metadata: Mapping[str, str] = field(default_factory=dict)
    version: str = ""  # see DocumentInput


class Standing(StrEnum):
    """How current a source is in the base."""

    FRESH = "fresh"
    STALE = "stale"  # something is outstanding
    NEVER_SYNCED = "never_synced"
    FAILING = "failing"  # the last sync broke off, or some documents could not be taken in


@dataclass(frozen=True, slots=True)
class SourceStanding:
    """How current a source is, and why."""

    source: str
    standing: Standing
    reason: str  # "" if it is fresh
    num_documents: int  # in the base
    num_new: int  # outstanding, as the last look at the source found them
    num_changed: int
    num_gone: int
    num_outdated: int  # in the base, and made by another embedder, chunker or loader than there is now
    num_failed: int  # that could not be taken in
    checked_at: str  # ISO 8601, UTC: the last look; "": none
    synced_at: str  # when nothing was outstanding for the last time; "": never
    embedding_ids: tuple[str, ...]  # of the models that its documents were embedded with
    chunker_versions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RebuildReport:
    """What a rebuild did, and what it leaves."""

    num_reembedded: int  # documents, in this call
    num_left: int  # documents that are still to be embedded anew; 0: it came to its end
    num_wanted: int  # documents that only their sources can renew: another chunker or loader, or incomplete
    is_reindexed: bool  # the index was made anew and swapped, in this call


@dataclass(frozen=True, slots=True)
class KnowledgeStatus:
    """How one tenant's knowledge base stands."""

    num_documents: int
    num_chunks: int
    sources: Mapping[str, int]  # source -> documents in it
    generation: int  # grows with every change; caches compare it
    embedding_id: str
    store: str
    standings: tuple[SourceStanding, ...] = ()  # of the sources, by name


# ---------------------------------------------------------------- agent


@dataclass(frozen=True, slots=True)
class AgentQuestion:
    """What the agent is asked."""

    question: str
    history: tuple[JsonObject, ...] = ()  # earlier turns as OpenAI messages, oldest first
    k: int | None = None  # passages for the prompt; None: the agent's own setting
    filters: Mapping[str, str | list[str]] = field(default_factory=dict)
    max_tokens: int | None = None
    temperature: float | None = None
    user_id: str = ""  # of the tenant's; sessions are by user
    session_id: str | None = None  # the conversation that the question goes on with; None: it stands alone
    is_optimistic: bool = False  # send drafts before the gate has passed them, and a revision if it does not
    may_pause: bool = True  # whoever asks can wait for a person's approval of a tool's call


@dataclass(frozen=True, slots=True)
class ApprovalDecision:
    """What a person decided about the calls that a paused run waits with."""

    run_id: str
    user_id: str  # of the tenant's
    token: str = field(repr=False)  # of the event that asked
    approves: bool | Mapping[str, bool] = False  # all calls alike, or each by its id
    reason: str = ""  # told to the model about refused calls


@dataclass(frozen=True, slots=True)
class AgentEvent:
    """One step of an answer as the client sees it: an SSE event's name and its JSON data."""

    type: str
    data: JsonObject
