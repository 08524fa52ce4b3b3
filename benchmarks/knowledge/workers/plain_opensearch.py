"""`-m benchmarks.knowledge.workers.plain_opensearch URL INDEX`: the official client as its guides use it.

AsyncOpenSearch, async_streaming_bulk, an HNSW of Lucene (m 16, ef_construction 100), the filter inside the knn
clause, hybrid by the server's own rank fusion; of each hit its number and its text.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

from opensearchpy import AsyncOpenSearch
from opensearchpy.helpers import async_streaming_bulk

from benchmarks.knowledge.corpus import DIM, TOP, Corpus
from benchmarks.knowledge.workers import lines

_CANDIDATES, _EF = 50, 100
_PIPELINE = {
    "phase_results_processors": [
        {"score-ranker-processor": {"combination": {"technique": "rrf", "rank_constant": 60}}}
    ]
}


class PlainSubject:
    """A Subject over the client."""

    def __init__(self, url: str, index: str) -> None:
        self._client = AsyncOpenSearch(hosts=[url], timeout=120, maxsize=32)
        self._index = index

    async def load(self, corpus: Corpus) -> None:
        method = {
            "name": "hnsw",
            "engine": "lucene",
            "space_type": "cosinesimil",
            "parameters": {"m": 16, "ef_construction": 100},
        }
        properties = {
            "number": {"type": "integer"},
            "part": {"type": "keyword"},
            "text": {"type": "text", "analyzer": "english"},
            "vector": {"type": "knn_vector", "dimension": DIM, "method": method},
        }
        settings = {"index": {"knn": True, "number_of_shards": 1, "number_of_replicas": 0}}
        await self._client.indices.create(
            index=self._index, body={"settings": settings, "mappings": {"properties": properties}}
        )

        async def actions() -> AsyncIterator[dict[str, Any]]:
            for number, text in enumerate(corpus.texts):
                yield {
                    "_index": self._index,
                    "_id": str(number),
                    "number": number,
                    "part": corpus.part_of(number),
                    "text": text,
                    "vector": corpus.vectors[number].tolist(),
                }

        async for _ in async_streaming_bulk(self._client, actions(), chunk_size=500, max_retries=3):
            pass
        await self._client.indices.forcemerge(index=self._index, params={"max_num_segments": 1})
        await self._client.indices.refresh(index=self._index)

    async def ask(self, case: str, question: str, vector: Any) -> list[int]:
        knn: dict[str, Any] = {"vector": vector.tolist(), "k": _EF}
        if case == "filtered":
            knn["filter"] = {"term": {"part": "3"}}
        query: dict[str, Any] = {"knn": {"vector": knn}}
        body: dict[str, Any] = {"query": query, "size": TOP, "_source": ["number", "text"]}
        if case == "hybrid":
            lexical = {"match": {"text": question}}
            body["query"] = {"hybrid": {"pagination_depth": _CANDIDATES, "queries": [lexical, query]}}
            body["search_pipeline"] = _PIPELINE
        answer = await self._client.search(index=self._index, body=body)
        return [hit["_source"]["number"] for hit in answer["hits"]["hits"]]

    async def resync(self) -> float | None:
        return None

    async def disk_bytes(self) -> int:
        stats = await self._client.indices.stats(index=self._index, metric="store")
        return int(stats["_all"]["total"]["store"]["size_in_bytes"])

    async def close(self) -> None:
        await self._client.indices.delete(index=self._index, params={"ignore_unavailable": "true"})
        await self._client.close()


async def _main() -> None:
    await lines.serve(PlainSubject(*sys.argv[1:]))


if __name__ == "__main__":
    asyncio.run(_main())
