"""The knowledge base: where chunks are kept, how documents are cut and passages found."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from configs.schema.base import Strict
from configs.schema.scaling import ScalingConfig


class LanceDbStoreConfig(Strict):
    """The embedded store: files on this machine's disk, written by one replica."""

    kind: Literal["lancedb"]
    path: str = Field(
        default="knowledge", description="Folder of the store; a relative one is inside `home`."
    )


class MemoryStoreConfig(Strict):
    """Nothing is kept: for tests and trials."""

    kind: Literal["memory"]


StoreConfig = Annotated[LanceDbStoreConfig | MemoryStoreConfig, Field(discriminator="kind")]


class ChunkingConfig(Strict):
    """How documents are cut. Changing it re-embeds what was ingested, at the next sync."""

    max_tokens: int = Field(
        default=220, ge=32, description="Longest chunk, in the embedder's tokens, its headings not counted."
    )
    overlap_tokens: int = Field(
        default=30, ge=0, description="Tokens that a chunk repeats of the one before it in the same section."
    )

    @model_validator(mode="after")
    def _overlap(self) -> ChunkingConfig:
        if self.overlap_tokens * 2 > self.max_tokens:
            raise ValueError(
                f"overlap_tokens {self.overlap_tokens} is more than half of max_tokens {self.max_tokens}"
            )
        return self


class RetrievalConfig(Strict):
    """How passages are found."""

    num_candidates: int = Field(
        default=50, ge=1, le=1000, description="Chunks that each leg hands to the fusion."
    )
    rrf_k: int = Field(
        default=60,
        ge=1,
        description="Rank constant of reciprocal rank fusion (Cormack, Clarke, Büttcher 2009 use 60).",
    )
    max_k: int = Field(default=100, ge=1, le=1000, description="Most passages that one search may ask for.")
    embed_timeout_s: float = Field(
        default=2.0, gt=0, description="Seconds for embedding a query; after it the search is lexical only."
    )


class KnowledgeConfig(Strict):
    """The knowledge base."""

    store: StoreConfig = Field(
        default=LanceDbStoreConfig(kind="lancedb"), description="Where chunks are kept."
    )
    chunking: ChunkingConfig = Field(default=ChunkingConfig(), description="How documents are cut.")
    retrieval: RetrievalConfig = Field(default=RetrievalConfig(), description="How passages are found.")
    max_document_bytes: int = Field(
        default=32 * 1024 * 1024, ge=1024, description="Largest document that is read."
    )
    scaling: ScalingConfig = Field(default=ScalingConfig(), description="Replicas and limits.")

    @model_validator(mode="after")
    def _one_writer(self) -> KnowledgeConfig:
        if self.scaling.max_replicas != 1 or self.scaling.min_replicas != 1:
            raise ValueError(
                f"the {self.store.kind} store is inside its replica: min_replicas and max_replicas must be 1"
            )
        return self
