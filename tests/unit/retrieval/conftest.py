"""A knowledge base in memory, with an embedder that counts, and parts that break on demand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from configs.schema import ChunkingConfig, KnowledgeConfig, MemoryStoreConfig, MockEmbedder
from serve_app.engines.embedding_edge import EmbeddingEdge
from serve_app.engines.mock import MockTextEmbedder
from serve_app.messages import Embeddings, ModelCard, RequestContext
from serve_app.retrieval.knowledge import KnowledgeBase
from serve_app.retrieval.sqlite_manifest import SqliteManifest
from serve_app.retrieval.stores.memory_store import MemoryStore

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
CONFIG = KnowledgeConfig(
    store=MemoryStoreConfig(kind="memory"),
    chunking=ChunkingConfig(max_tokens=32, overlap_tokens=0),
    max_document_bytes=4096,
)


class CountingEmbedder(EmbeddingEdge):
    """The mock embedder; it counts passages, and fails as it is told to."""

    def __init__(self, dim: int = 16, name: str = "mock") -> None:
        super().__init__(MockTextEmbedder(MockEmbedder(engine="mock", name=name, dim=dim)))
        self.num_passages = 0
        self.num_calls = 0
        self.failure: Exception | None = None  # of every call that embeds
        self.poison: dict[
            str, Exception | float
        ] = {}  # word in a text -> error, or value of its whole vector
        self.is_down: Exception | None = None  # of describe and count_tokens too

    async def describe(self) -> ModelCard:
        if self.is_down:
            raise self.is_down
        return await super().describe()

    async def count_tokens(self, texts: Sequence[str], context: RequestContext) -> list[int]:
        if self.is_down:
            raise self.is_down
        return await super().count_tokens(texts, context)

    async def embed(self, texts: Any, context: RequestContext, **options: bool) -> Embeddings:  # type: ignore[override]
        failure = self.is_down or self.failure
        if failure:
            raise failure
        self.num_calls += 1
        result = await super().embed(texts, context, **options)
        vectors = result.vectors.copy()
        for row, text in enumerate(texts):
            for word, fault in self.poison.items():
                if word in text and isinstance(fault, Exception):
                    raise fault
                if word in text:
                    vectors[row] = np.float32(fault)  # type: ignore[arg-type]
        if not options.get("is_query"):
            self.num_passages += len(texts)
        return replace(result, vectors=vectors)


class Breaking:
    """Passes calls on, until the n-th call of the methods that change something raises."""

    CHANGING = ("upsert", "delete", "commit", "mark_incomplete")

    def __init__(self, target: Any, fuse: Fuse) -> None:
        self._target = target
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._target, name)
        if name not in self.CHANGING:
            return method

        async def call(*args: Any, **kwargs: Any) -> Any:
            self._fuse.burn()
            result = await method(*args, **kwargs)
            self._fuse.burn()
            return result

        return call


@dataclass
class Fuse:
    """Lets `left` burns pass and then raises, once. It burns before and after each change."""

    left: int | None = None
    error: Exception = field(default_factory=lambda: RuntimeError("the power went"))

    def burn(self) -> None:
        if self.left is None:
            return
        self.left -= 1
        if self.left < 0:
            self.left = None
            raise self.error


@dataclass
class World:
    """A knowledge base and what it is made of."""

    embedder: CountingEmbedder = field(default_factory=CountingEmbedder)
    store: MemoryStore = field(default_factory=MemoryStore)
    manifest: SqliteManifest = field(default_factory=lambda: SqliteManifest(None))
    fuse: Fuse = field(default_factory=Fuse)
    config: KnowledgeConfig = CONFIG

    def open(self, embedder: CountingEmbedder | None = None) -> KnowledgeBase:
        """The base as a new process would find it."""
        store: Any = Breaking(self.store, self.fuse)
        manifest: Any = Breaking(self.manifest, self.fuse)
        return KnowledgeBase(self.config, store, manifest, embedder or self.embedder, lambda: NOW)


@pytest.fixture
async def world() -> Any:
    made = World()
    yield made
    await made.manifest.close()


@pytest.fixture
def knowledge(world: World) -> KnowledgeBase:
    return world.open()
