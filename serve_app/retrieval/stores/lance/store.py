"""The embedded store: a LanceDB table on this machine's disk.

One process writes at a time (the manifest's lock sees to it); reads never wait for writes, because
each sees a version of the table. Dense search is exact: it looks at every vector of the tenant.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import lancedb
import pyarrow as pa
from lancedb.index import FTS, BTree

from serve_app.errors import StorageFull, Unavailable
from serve_app.messages import Deadline, Vectors
from serve_app.retrieval.base import Chunk, Filters, Fused, Hit, HybridQuery, OneOf
from serve_app.retrieval.fusion import both, fused, ranked
from serve_app.retrieval.stores.lance import queries, rows

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

# An exact search keeps a core busy and has its vectors in memory meanwhile: more at once only take turns with each
# other, and the memory of all of them. Twice the cores, because some wait for the disk.
_MAX_AT_ONCE = 2 * (os.cpu_count() or 1)


class LanceDbStore:
    """A Store in a folder, which is created at the first use.

    Args:
        folder: the store's own folder.
        keep_versions: how long a replaced version stays readable for searches that began on it.
    """

    fuses = True
    is_frozen = False  # what rebuilds it keeps others out by itself

    def __init__(self, folder: Path, keep_versions: timedelta = timedelta(minutes=2)) -> None:
        self._folder = folder.absolute()
        self._keep_versions = keep_versions
        self._table: lancedb.AsyncTable | None = None
        self._opening = asyncio.Lock()
        self._writing = asyncio.Lock()
        self._reading = asyncio.Semaphore(_MAX_AT_ONCE)
        self._vector_columns: tuple[str, ...] = ()  # that the table has; only writers change it
        self._num_rows_written = 0  # since the last optimize
        self._num_writes = 0
        self._is_shared = False  # whether a search has met rows of another tenant than its own

    async def generation(self) -> str:
        return _TABLE

    async def upsert(self, chunks: Sequence[Chunk]) -> None:
        latest = list({chunk.id: chunk for chunk in chunks}.values())
        if not latest:
            return
        async with self._write(len(latest)) as table:
            batch = rows.to_table(latest, await self._schema_for(table, latest))
            merge = table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
            # A row has no vector of other models, which LanceDB calls a bad one (of ten dimensions or more), and by
            # default refuses. Bad ones that are there never come here: `embedding` looks at each.
            await merge.execute(batch, on_bad_vectors="null")

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
            columns = ["chunk_hash", *self._vector_columns]
            condition = f"{rows.where(tenant, {})} AND embedding_id = {rows.quoted(embedding_id)}"
            for start in range(0, len(chunk_hashes), _MAX_IDS):
                hashes = rows.is_one_of("chunk_hash", chunk_hashes[start : start + _MAX_IDS])
                result = await table.query().where(f"{condition} AND {hashes}").select(columns).to_arrow()
                found.update(zip(result["chunk_hash"].to_pylist(), rows.row_vectors(result), strict=True))
        return found

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
        with self._translated():
            table = await self._open()
            columns = rows.result_columns(self._vector_columns if reads_vectors else ())
            found, _ = await self._found(tenant, filters, lambda: queries.lexical(table, text, k, columns))
        return _ordered(rows.from_table(found), queries.bm25(found))

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
            if column not in self._vector_columns:
                return []  # nothing was embedded with this model yet
            columns = rows.result_columns()
            found, _ = await self._found(
                tenant, filters, lambda: queries.dense(table, column, vector, k, columns)
            )
        return _ordered(rows.from_table(found), queries.cosines(found))

    async def search_hybrid(
        self, tenant: str, query: HybridQuery, k: int, filters: Filters, deadline: Deadline | None = None
    ) -> list[Fused]:
        """Of both legs' rows only those become chunks that the fusion puts first."""
        num = max(k, query.num_candidates)
        column = rows.vector_column(query.embedding_id, query.vector.shape[0])
        with self._translated():
            table = await self._open()
            vectors = (column,) if column in self._vector_columns else ()

            async def lexical() -> tuple[pa.Table, list[str]]:
                columns = rows.result_columns(vectors)
                return await self._found(
                    tenant, filters, lambda: queries.lexical(table, query.text, num, columns)
                )

            async def dense() -> tuple[pa.Table, list[str]]:
                if not vectors:
                    return queries.NOTHING_NEAR, []
                columns = rows.result_columns()
                return await self._found(
                    tenant, filters, lambda: queries.dense(table, column, query.vector, num, columns)
                )

            (worded, words_ids), (near, near_ids) = await both(lexical(), dense())
        bm25 = _scores(words_ids, queries.bm25(worded))
        cosines = _scores(near_ids, queries.cosines(near))
        best = ranked(bm25, cosines, query)[:k]
        chunks = {
            **rows.chunks_of(near, near_ids, [one.id for one in best if one.id in cosines]),
            **rows.chunks_of(worded, words_ids, [one.id for one in best if one.id not in cosines]),
        }
        return [fused(one, chunks[one.id], query) for one in best]

    async def _found(
        self, tenant: str, filters: Filters, query: Callable[[], Any]
    ) -> tuple[pa.Table, list[str]]:
        """What a query finds among the tenant's rows, and the rows' ids.

        To compare every row's tenant slows an exact search down. So as long as this table was never
        seen to have rows of two tenants, the best rows of all are asked for and looked at: are they all the tenant's,
        they are the tenant's best; is one another's, none is used, and this table's queries compare from then on.
        """
        if not self._is_shared:
            found = await self._read(_limited_to(query(), rows.where_of_any_tenant(filters)))
            seen = rows.seen(found)
            if all(one.tenant == tenant for one in seen):
                return found, [one.id for one in seen]
            self._is_shared = True
        found = await self._read(query().where(rows.where(tenant, filters)))
        return found, [one.id for one in rows.seen(found)]

    async def _chunks(
        self, table: lancedb.AsyncTable, tenant: str, ids: Sequence[str], columns: Sequence[str]
    ) -> dict[str, Chunk]:
        """id -> chunk, of those that the tenant has."""
        chunks: list[Chunk] = []
        for start in range(0, len(ids), _MAX_IDS):
            own = f"{rows.where(tenant, {})} AND {rows.is_one_of('id', ids[start : start + _MAX_IDS])}"
            chunks += rows.from_table(await self._read(table.query().where(own).select(list(columns))))
        return {chunk.id: chunk for chunk in chunks}

    async def _read(self, query: Any) -> pa.Table:
        async with self._reading:
            return await queries.read(query)

    async def page(self, tenant: str, after: str, limit: int, filters: Filters) -> list[Chunk]:
        with self._translated():
            table = await self._open()
            condition = f"{rows.where(tenant, filters)} AND id > {rows.quoted(after)}"
            found = await table.query().where(condition).select(["id"]).to_arrow()
            # A query has no order of its own: the ids are sorted here, and only a page's rows are read.
            ids = sorted(found["id"].to_pylist())[:limit]
            chunks = await self._chunks(table, tenant, ids, rows.result_columns(self._vector_columns))
        return [chunks[one] for one in ids if one in chunks]

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
        if self._table is not None:
            return self._table
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
                self._vector_columns = rows.vector_columns(await table.schema())
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

    async def _schema_for(self, table: lancedb.AsyncTable, chunks: Sequence[Chunk]) -> pa.Schema:
        """The table's schema, which has a vector column for every chunk's model."""
        schema = await table.schema()
        needed = {(chunk.embedding_id, chunk.vector.shape[0]) for chunk in chunks}
        fields = [rows.vector_field(*one) for one in needed if rows.vector_column(*one) not in schema.names]
        if fields:
            await table.add_columns(fields)
            schema = await table.schema()
        self._vector_columns = rows.vector_columns(schema)
        return schema

    async def _optimize(self, table: lancedb.AsyncTable) -> None:
        for column in self._vector_columns:
            if not await table.count_rows(f"{column} IS NOT NULL"):
                self._vector_columns = tuple(one for one in self._vector_columns if one != column)
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
    """A table of earlier days gets the columns that it lacks, from its own rows. Broken off, it begins again."""
    names = (await table.schema()).names
    missing = [field for field in rows.FILTERED if field.name not in names]
    if missing:
        await table.add_columns(missing)
        stored = await table.query().select(["id", "metadata"]).to_arrow()
        await table.merge_insert("id").when_matched_update_all().execute(rows.filtered(stored))
    earlier = [name for name in rows.EARLIER if name in names]
    if earlier:
        if rows.PASSAGE.name not in names:
            await table.add_columns([rows.PASSAGE])
        columns = [name for name in names if name in {*rows.BASE_SCHEMA.names, *earlier} - rows.UNKEPT]
        stored = await table.query().select(columns).to_arrow()
        await table.merge_insert("id").when_matched_update_all().execute(rows.passages(stored))
        await table.drop_columns(earlier)


def _limited_to(query: Any, condition: str) -> Any:
    return query.where(condition) if condition else query


def _scores(ids: Sequence[str], scores: Sequence[float]) -> dict[str, float]:
    """id -> score, in the order of `_ordered`."""
    return dict(sorted(zip(ids, scores, strict=True), key=lambda one: (-one[1], one[0])))


def _ordered(chunks: Sequence[Chunk], scores: Sequence[float]) -> list[Hit]:
    """Hits, best first; equal scores by id, so that the order never depends on chance."""
    hits = [Hit(chunk, score) for chunk, score in zip(chunks, scores, strict=True)]
    return sorted(hits, key=lambda hit: (-hit.score, hit.chunk.id))
