"""The embedded store: a LanceDB table on this machine's disk.

One process writes at a time (the manifest's lock sees to it); reads never wait for writes, because
each sees a version of the table. Dense search is exact: it looks at every vector of the tenant.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path

import lancedb
from lancedb.index import FTS, BTree
from lancedb.query import MatchQuery

from serve_app.errors import StorageFull, Unavailable
from serve_app.messages import Deadline, Vectors
from serve_app.retrieval.base import Chunk, Filters, Fused, Hit, HybridQuery, OneOf
from serve_app.retrieval.fusion import fuse_legs
from serve_app.retrieval.stores import lexical_text
from serve_app.retrieval.stores.lance import rows

logger = logging.getLogger("manta.retrieval")

_TABLE = "chunks"
_FULL_TEXT = FTS(language="English", stem=True, remove_stop_words=True, lower_case=True, ascii_folding=True)
_MAX_IDS = 2000  # ids in one SQL condition

# Rows that are not in the full-text index yet are scanned by each search: 7 to 10 ms for each 1,000
# (2 cores, 120 words a row); each write leaves a small file and a version. To optimize rewrites the whole
# table (2 s for 100,000 rows), so how often it is done falls as the table grows: every 1,000 rows, whatever
# the size, made 12 GB of old versions on the way to 100,000.
_MIN_FRESH_ROWS, _FRESH_SHARE = 250, 1 / 20
_MIN_WRITES, _WRITES_PER_ROW = 20, 1 / 1000


class LanceDbStore:
    """A Store in a folder, which is created at the first use.

    Args:
        folder: the store's own folder.
        keep_versions: how long a replaced version stays readable for searches that began on it.
    """

    fuses = False
    is_frozen = False  # what rebuilds it keeps others out by itself

    def __init__(self, folder: Path, keep_versions: timedelta = timedelta(minutes=2)) -> None:
        self._folder = folder.absolute()
        self._keep_versions = keep_versions
        self._table: lancedb.AsyncTable | None = None
        self._opening = asyncio.Lock()
        self._writing = asyncio.Lock()
        self._num_rows_written = 0  # since the last optimize
        self._num_writes = 0

    async def generation(self) -> str:
        return _TABLE

    async def upsert(self, chunks: Sequence[Chunk]) -> None:
        latest = list({chunk.id: chunk for chunk in chunks}.values())
        if not latest:
            return
        async with self._write(len(latest)) as table:
            await self._add_missing_columns(table, latest)
            batch = rows.to_table(latest, await table.schema())
            merge = table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
            await merge.execute(batch)

    async def delete(self, tenant: str, chunk_ids: Sequence[str]) -> None:
        if not chunk_ids:
            return
        async with self._write(len(chunk_ids)) as table:
            for start in range(0, len(chunk_ids), _MAX_IDS):
                ids = rows.is_one_of("id", chunk_ids[start : start + _MAX_IDS])
                await table.delete(f"{rows.where(tenant, {})} AND {ids}")

    async def delete_source(self, tenant: str, source: str) -> None:
        condition = rows.where(tenant, {"source": OneOf((source,))})
        with self._translated():
            num_rows = await (await self._open()).count_rows(condition)
        if num_rows:
            async with self._write(num_rows) as table:
                await table.delete(condition)

    async def vectors(
        self, tenant: str, embedding_id: str, chunk_hashes: Sequence[str]
    ) -> dict[str, Vectors]:
        found: dict[str, Vectors] = {}
        with self._translated():
            table = await self._open()
            columns = ["chunk_hash", *rows.vector_columns(await table.schema())]
            condition = f"{rows.where(tenant, {})} AND embedding_id = {rows.quoted(embedding_id)}"
            for start in range(0, len(chunk_hashes), _MAX_IDS):
                hashes = rows.is_one_of("chunk_hash", chunk_hashes[start : start + _MAX_IDS])
                result = await table.query().where(f"{condition} AND {hashes}").select(columns).to_arrow()
                found.update(zip(result["chunk_hash"].to_pylist(), rows.row_vectors(result), strict=True))
        return found

    async def search_lexical(
        self, tenant: str, text: str, k: int, filters: Filters, deadline: Deadline | None = None
    ) -> list[Hit]:
        with self._translated():
            table = await self._open()
            # A match query takes the text as words; a plain string would be parsed for operators.
            match = MatchQuery(lexical_text.of_query(text), rows.LEXICAL)  # type: ignore[call-arg]
            query = table.query().nearest_to_text(match)
            columns = [*rows.result_columns(await table.schema()), "_score"]
            result = await query.where(rows.where(tenant, filters)).select(columns).limit(k).to_arrow()
        scores = result["_score"].to_pylist()
        return _ordered(rows.from_table(result.drop_columns(["_score"])), scores)

    async def search_dense(
        self,
        tenant: str,
        embedding_id: str,
        vector: Vectors,
        k: int,
        filters: Filters,
        deadline: Deadline | None = None,
    ) -> list[Hit]:
        column = rows.vector_column(embedding_id, vector.shape[0])
        with self._translated():
            table = await self._open()
            schema = await table.schema()
            if column not in schema.names:
                return []  # nothing was embedded with this model yet
            query = table.query().nearest_to(vector).column(column).distance_type("cosine")
            condition = f"{rows.where(tenant, filters)} AND {column} IS NOT NULL"
            columns = [*rows.result_columns(schema), "_distance"]
            result = await query.where(condition).select(columns).limit(k).to_arrow()
        cosines = [1.0 - distance for distance in result["_distance"].to_pylist()]
        return _ordered(rows.from_table(result.drop_columns(["_distance"])), cosines)

    async def search_hybrid(
        self, tenant: str, query: HybridQuery, k: int, filters: Filters, deadline: Deadline | None = None
    ) -> list[Fused]:
        return await fuse_legs(self, tenant, query, k, filters, deadline)

    async def page(self, tenant: str, after: str, limit: int, filters: Filters) -> list[Chunk]:
        with self._translated():
            table = await self._open()
            condition = f"{rows.where(tenant, filters)} AND id > {rows.quoted(after)}"
            found = await table.query().where(condition).select(["id"]).to_arrow()
            # A query has no order of its own: the ids are sorted here, and only a page's rows are read.
            ids = sorted(found["id"].to_pylist())[:limit]
            chunks: list[Chunk] = []
            for start in range(0, len(ids), _MAX_IDS):
                own = f"{rows.where(tenant, {})} AND {rows.is_one_of('id', ids[start : start + _MAX_IDS])}"
                columns = rows.result_columns(await table.schema())
                chunks += rows.from_table(await table.query().where(own).select(columns).to_arrow())
        return sorted(chunks, key=lambda chunk: chunk.id)

    async def chunk_ids(self, tenant: str) -> set[str]:
        with self._translated():
            table = await self._open()
            result = await table.query().where(rows.where(tenant, {})).select(["id"]).to_arrow()
        return set(result["id"].to_pylist())

    async def count(self, tenant: str) -> int:
        with self._translated():
            table = await self._open()
            return int(await table.count_rows(rows.where(tenant, {})))

    async def optimize(self) -> None:
        with self._translated():
            table = await self._open()
            async with self._writing:
                await self._optimize(table)

    async def thaw(self) -> None:
        return

    async def rebuild(self) -> None:
        """The full-text index, made anew beside the old one, which answers until then."""
        with self._translated():
            table = await self._open()
            async with self._writing:
                await table.create_index(rows.LEXICAL, config=_FULL_TEXT, replace=True)
                await self._optimize(table)

    async def close(self) -> None:
        if self._table is not None:
            self._table.close()  # type: ignore[no-untyped-call]
            self._table = None

    async def _open(self) -> lancedb.AsyncTable:
        async with self._opening:
            if self._table is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                database = await lancedb.connect_async(str(self._folder))
                table = await _open_or_create(database)
                await _add_later_columns(table)
                indexed = {column for index in await table.list_indices() for column in index.columns}
                if rows.LEXICAL not in indexed:
                    await table.create_index(rows.LEXICAL, config=_FULL_TEXT)
                if "id" not in indexed:
                    await table.create_index("id", config=BTree())
                self._table = table
            return self._table

    @asynccontextmanager
    async def _write(self, num_rows: int) -> AsyncIterator[lancedb.AsyncTable]:
        with self._translated():
            table = await self._open()
            async with self._writing:
                yield table
                self._num_rows_written += num_rows
                self._num_writes += 1
                await self._try_to_optimize(table)

    async def _try_to_optimize(self, table: lancedb.AsyncTable) -> None:
        """If it is due. The write before it is done and must not be reported as failed: the next tries again."""
        try:
            num_rows = await table.count_rows()
            is_due = self._num_rows_written >= max(_MIN_FRESH_ROWS, num_rows * _FRESH_SHARE)
            if is_due or self._num_writes >= max(_MIN_WRITES, num_rows * _WRITES_PER_ROW):
                await self._optimize(table)
        except (OSError, RuntimeError, ValueError) as exc:
            logger.warning("the indices in %s are not up to date: %s", self._folder, exc)

    async def _add_missing_columns(self, table: lancedb.AsyncTable, chunks: Sequence[Chunk]) -> None:
        known = set((await table.schema()).names)
        needed = {(chunk.embedding_id, chunk.vector.shape[0]) for chunk in chunks}
        fields = [rows.vector_field(*one) for one in needed if rows.vector_column(*one) not in known]
        if fields:
            await table.add_columns(fields)

    async def _optimize(self, table: lancedb.AsyncTable) -> None:
        for column in rows.vector_columns(await table.schema()):
            if not await table.count_rows(f"{column} IS NOT NULL"):
                await table.drop_columns([column])
        await table.optimize(cleanup_older_than=self._keep_versions)
        self._num_rows_written = self._num_writes = 0

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """LanceDB raises plain OSError, RuntimeError and ValueError, with the cause only in the text."""
        try:
            yield
        except (OSError, RuntimeError, ValueError) as exc:
            reason = " ".join(str(exc).split())[:300]
            if (
                getattr(exc, "errno", None) == errno.ENOSPC
                or "os error 28" in reason
                or "No space left" in reason
            ):
                logger.warning("no space left on the disk of %s", self._folder)
                raise StorageFull("no space left on the disk of the knowledge base") from exc
            logger.warning("the knowledge base in %s cannot be used: %s", self._folder, reason)
            raise Unavailable("the knowledge base's files cannot be used; the server's log says why") from exc


async def _open_or_create(database: lancedb.AsyncConnection) -> lancedb.AsyncTable:
    # `exist_ok` is of no use: it wants the very schema, and a table has gained vector columns.
    try:
        return await database.open_table(_TABLE)
    except ValueError as exc:
        if "was not found" not in str(exc):
            raise  # it is there and broken: to be named, not to be replaced by an empty one
    return await database.create_table(_TABLE, schema=rows.BASE_SCHEMA)


async def _add_later_columns(table: lancedb.AsyncTable) -> None:
    """A table of earlier days gets the columns that it lacks: what ranges look at, from its own metadata."""
    names = (await table.schema()).names
    if offsets := [field for field in rows.OFFSETS if field.name not in names]:
        await table.add_columns(offsets)
    missing = [field for field in rows.FILTERED if field.name not in names]
    if missing:
        await table.add_columns(missing)
        kept = await table.query().select(["id", "metadata"]).to_arrow()
        await table.merge_insert("id").when_matched_update_all().execute(rows.filtered(kept))


def _ordered(chunks: Sequence[Chunk], scores: Sequence[float]) -> list[Hit]:
    """Hits, best first; equal scores by id, so that the order never depends on chance."""
    hits = [Hit(chunk, score) for chunk, score in zip(chunks, scores, strict=True)]
    return sorted(hits, key=lambda hit: (-hit.score, hit.chunk.id))
