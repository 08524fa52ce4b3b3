"""`-m benchmarks.knowledge.workers.plain_lancedb`: LanceDB's own API as its guides use it: exact vectors, full text."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import lancedb
import pyarrow as pa
from lancedb.index import FTS
from lancedb.rerankers import RRFReranker

from benchmarks.knowledge.corpus import DIM, TOP, Corpus
from benchmarks.knowledge.workers import lines

_BATCH = 1000


class PlainSubject:
    """A Subject over a table."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._table: Any = None

    async def load(self, corpus: Corpus) -> None:
        schema = pa.schema(
            [
                ("number", pa.int64()),
                ("part", pa.string()),
                ("text", pa.string()),
                ("vector", pa.list_(pa.float32(), DIM)),
            ]
        )
        database = await lancedb.connect_async(str(self._folder))
        self._table = await database.create_table("passages", schema=schema)
        for start in range(0, len(corpus.texts), _BATCH):
            batch = range(start, min(start + _BATCH, len(corpus.texts)))
            rows = [
                {
                    "number": index,
                    "part": corpus.part_of(index),
                    "text": corpus.texts[index],
                    "vector": corpus.vectors[index],
                }
                for index in batch
            ]
            await self._table.add(rows)
        await self._table.create_index("text", config=FTS())
        await self._table.optimize()

    async def ask(self, case: str, question: str, vector: Any) -> list[int]:
        query = self._table.query().nearest_to(vector).distance_type("cosine")
        if case == "filtered":
            query = query.where("part = '3'")
        if case == "hybrid":
            query = query.nearest_to_text(question).rerank(RRFReranker(60))
        found = await query.select(["number", "text"]).limit(TOP).to_arrow()
        return list(found["number"].to_pylist())

    async def resync(self) -> float | None:
        return None

    async def disk_bytes(self) -> int:
        return sum(one.stat().st_size for one in self._folder.rglob("*") if one.is_file())

    async def close(self) -> None:
        return


def main() -> None:
    """Serve until the input ends."""
    with tempfile.TemporaryDirectory(prefix="manta-bench-") as folder:
        asyncio.run(lines.serve(PlainSubject(Path(folder))))


if __name__ == "__main__":
    main()
