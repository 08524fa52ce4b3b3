"""`-m benchmarks.knowledge.workers.manta_store CONFIG`: a store of Manta's in process, without deployment or HTTP.

The only file of this benchmark that knows the application: it runs as a process of its own. The configuration of
the store comes as JSON.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.knowledge.corpus import DIM, TOP, Corpus
from benchmarks.knowledge.workers import lines
from configs.schema import KnowledgeConfig, MockEmbedder, OpenSearchStoreConfig
from serve_app.engines.embedding_edge import EmbeddingEdge
from serve_app.engines.mock import MockTextEmbedder
from serve_app.messages import Deadline, DocumentInfo, RequestContext
from serve_app.retrieval.base import Chunk, HybridQuery, OneOf
from serve_app.retrieval.documents.chunking import CHUNKER_VERSION
from serve_app.retrieval.documents.load import LOADER_VERSION
from serve_app.retrieval.knowledge import KnowledgeBase
from serve_app.retrieval.manifest import Recipe, Record
from serve_app.retrieval.stores.open import open_storage

_TENANT, _SOURCE, _BATCH = "benchmark", "made-up", 1000
_FILTER = {"metadata.part": OneOf(("3",))}


class StoreSubject:
    """A Subject over a Store and its manifest."""

    def __init__(self, config: KnowledgeConfig, home: Path) -> None:
        self._home = home
        self._config = config.store
        opened = open_storage(config.store, home)
        self._store, self._manifest = opened.store, opened.manifest
        embedder = EmbeddingEdge(MockTextEmbedder(MockEmbedder(engine="mock", name="mock", dim=DIM)))
        self._model = str(embedder.card().embedding_id)
        self._knowledge = KnowledgeBase(config, self._store, self._manifest, embedder, leases=opened.leases)
        chunking = config.chunking
        self._recipe = Recipe(
            LOADER_VERSION, CHUNKER_VERSION, chunking.max_tokens, chunking.overlap_tokens, self._model, DIM
        )
        self._states: dict[str, str] = {}

    async def load(self, corpus: Corpus) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        for start in range(0, len(corpus.texts), _BATCH):
            batch = range(start, min(start + _BATCH, len(corpus.texts)))
            await self._store.upsert([self._chunk(corpus, index) for index in batch])
            records = [self._record(corpus, index, now) for index in batch]
            await self._manifest.commit(_TENANT, put=records)
            self._states |= {one.info.path: one.info.sha256 for one in records}
        await self._store.optimize()

    async def ask(self, case: str, question: str, vector: Any) -> list[int]:
        deadline = Deadline.after(60.0)
        if case == "hybrid":
            query = HybridQuery(question, self._model, vector, num_candidates=50, rank_constant=60)
            fused = await self._store.search_hybrid(_TENANT, query, TOP, {}, deadline)
            return [one.chunk.ordinal for one in fused]
        filters = _FILTER if case == "filtered" else {}
        hits = await self._store.search_dense(_TENANT, self._model, vector, TOP, filters, deadline)
        return [one.chunk.ordinal for one in hits]

    async def resync(self) -> float | None:
        context = RequestContext("benchmark", _TENANT, Deadline.after(600.0))
        await self._knowledge.plan_sync(_SOURCE, {}, context)  # the check after a start is not of each sync
        began_s = time.perf_counter()
        plan = await self._knowledge.plan_sync(_SOURCE, self._states, context)
        assert not plan.upload
        assert not plan.gone
        return time.perf_counter() - began_s

    async def disk_bytes(self) -> int:
        if isinstance(self._config, OpenSearchStoreConfig):
            return await _server_bytes(self._config)
        return sum(one.stat().st_size for one in self._home.rglob("*") if one.is_file())

    async def close(self) -> None:
        await self._knowledge.close()

    def _chunk(self, corpus: Corpus, index: int) -> Chunk:
        return Chunk(
            id=f"{index:08}",
            tenant=_TENANT,
            document_id=f"d{index:08}",
            source=_SOURCE,
            path=f"{index}.txt",
            title=f"Passage {index}",
            headings=(),
            text=corpus.texts[index],
            ordinal=index,
            page=None,
            media_type="text/plain",
            chunk_hash=f"h{index:08}",
            vector=np.asarray(corpus.vectors[index], np.float32),
            embedding_id=self._model,
            metadata={"part": corpus.part_of(index)},
        )

    def _record(self, corpus: Corpus, index: int, now: str) -> Record:
        info = DocumentInfo(
            id=f"d{index:08}",
            source=_SOURCE,
            path=f"{index}.txt",
            title=f"Passage {index}",
            media_type="text/plain",
            sha256=f"{index:064x}",
            num_chunks=1,
            num_bytes=len(corpus.texts[index]),
            ingested_at=now,
        )
        return Record(info, None, self._recipe, (f"{index:08}",))


async def _server_bytes(config: OpenSearchStoreConfig) -> int:
    """Of the chunks' index and the manifest's."""
    async with httpx.AsyncClient(trust_env=False, timeout=60.0) as client:
        answer = await client.get(f"{config.url}/{config.index}-*/_stats/store")
        answer.raise_for_status()
        return int(answer.json()["_all"]["total"]["store"]["size_in_bytes"])


def main() -> None:
    """Serve until the input ends."""
    config = KnowledgeConfig.model_validate_json(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="manta-bench-") as folder:
        asyncio.run(lines.serve(StoreSubject(config, Path(folder))))


if __name__ == "__main__":
    main()
