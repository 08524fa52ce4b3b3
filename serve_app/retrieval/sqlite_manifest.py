"""The manifest in a SQLite file beside an embedded store.

Each commit is one transaction, and is
on the disk when it returns (WAL with synchronous=FULL): the few commits of an ingestion cost little,
and a manifest that is older than the store would forget documents. The file is locked for one process
as long as it is open, which is what makes the knowledge base single-writer.

Knows nothing of chunks' texts, of vectors or of the event loop's other work: SQLite runs in threads.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from serve_app.errors import StorageFull, Unavailable
from serve_app.messages import DocumentInfo
from serve_app.retrieval.manifest import Recipe, Record, Summary, embedding_ids

T = TypeVar("T")

logger = logging.getLogger("manta.retrieval")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    source TEXT NOT NULL,
    path TEXT NOT NULL,
    title TEXT NOT NULL,
    media_type TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    num_chunks INTEGER NOT NULL,
    num_bytes INTEGER NOT NULL,
    ingested_at TEXT NOT NULL,
    metadata TEXT NOT NULL,
    declared_media_type TEXT,
    recipe TEXT NOT NULL,
    chunk_ids TEXT NOT NULL,
    version TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (tenant, id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS documents_by_source ON documents (tenant, source, id);
CREATE TABLE IF NOT EXISTS sources (
    tenant TEXT NOT NULL, source TEXT NOT NULL, state TEXT NOT NULL, PRIMARY KEY (tenant, source)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tenants (tenant TEXT PRIMARY KEY, generation INTEGER NOT NULL) WITHOUT ROWID;
"""
_BUSY_TIMEOUT_S = 1.0


class SqliteManifest:
    """The manifest in a file, opened at the first use; in memory when there is no path.

    Every method raises Unavailable if the file cannot be used, or is used by another process, and
    StorageFull if the disk is full.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._name = (
            "the manifest" if path is None else path.name
        )  # for clients, whom the folder does not concern
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.Lock()

    async def records(self, tenant: str, document_ids: Sequence[str]) -> dict[str, Record]:
        sql = "SELECT * FROM documents WHERE tenant = ? AND id IN (SELECT value FROM json_each(?))"
        rows = await self._query(sql, (tenant, json.dumps(list(document_ids))))
        return {row["id"]: _record(row) for row in rows}

    async def source(self, tenant: str, source: str) -> list[Record]:
        rows = await self._query("SELECT * FROM documents WHERE tenant = ? AND source = ?", (tenant, source))
        return [_record(row) for row in rows]

    async def page(self, tenant: str, source: str | None, after: str, limit: int) -> list[Record]:
        sql = "SELECT * FROM documents WHERE tenant = ? AND id > ? AND (? IS NULL OR source = ?) ORDER BY id LIMIT ?"
        return [_record(row) for row in await self._query(sql, (tenant, after, source, source, limit))]

    async def chunk_ids(self, tenant: str) -> dict[str, tuple[str, ...]]:
        rows = await self._query("SELECT id, chunk_ids FROM documents WHERE tenant = ?", (tenant,))
        return {row["id"]: tuple(json.loads(row["chunk_ids"])) for row in rows}

    async def summary(self, tenant: str) -> Summary:
        sql = """SELECT source, recipe, COUNT(*) AS num_documents, SUM(num_chunks) AS num_chunks
                 FROM documents WHERE tenant = ? GROUP BY source, recipe ORDER BY source"""
        groups = await self._query(sql, (tenant,))
        generations = await self._query("SELECT generation FROM tenants WHERE tenant = ?", (tenant,))
        sources: dict[str, int] = {}
        for row in groups:
            sources[row["source"]] = sources.get(row["source"], 0) + row["num_documents"]
        recipes: dict[str, dict[Recipe | None, int]] = {}
        for row in groups:
            made = Recipe.decoded(row["recipe"]) if row["recipe"] else None
            recipes.setdefault(row["source"], {})[made] = row["num_documents"]
        return Summary(
            num_documents=sum(sources.values()),
            num_chunks=sum(row["num_chunks"] for row in groups),
            sources=sources,
            generation=generations[0]["generation"] if generations else 0,
            embedding_ids=embedding_ids(recipes),
            recipes=recipes,
        )

    async def commit(self, tenant: str, put: Sequence[Record] = (), removed: Sequence[str] = ()) -> None:
        def change(connection: sqlite3.Connection) -> None:
            connection.executemany(_PUT, [_row(tenant, record) for record in put])
            connection.executemany(
                "DELETE FROM documents WHERE tenant = ? AND id = ?", [(tenant, one) for one in removed]
            )
            connection.execute(
                "INSERT INTO tenants VALUES (?, 1) ON CONFLICT DO UPDATE SET generation = generation + 1",
                (tenant,),
            )

        await self._run(change)

    async def source_states(self, tenant: str) -> dict[str, str]:
        rows = await self._query("SELECT source, state FROM sources WHERE tenant = ?", (tenant,))
        return {row["source"]: row["state"] for row in rows}

    async def put_source_state(self, tenant: str, source: str, state: str) -> None:
        def change(connection: sqlite3.Connection) -> None:
            connection.execute("REPLACE INTO sources VALUES (?, ?, ?)", (tenant, source, state))

        await self._run(change)

    async def mark_incomplete(self, tenant: str, document_ids: Sequence[str]) -> None:
        def change(connection: sqlite3.Connection) -> None:
            pairs = [(tenant, one) for one in document_ids]
            connection.executemany("UPDATE documents SET recipe = '' WHERE tenant = ? AND id = ?", pairs)

        await self._run(change)

    async def close(self) -> None:
        def close() -> None:
            with self._lock:
                if self._connection is not None:
                    self._connection.close()
                    self._connection = None

        await asyncio.to_thread(close)

    async def _query(self, sql: str, parameters: tuple[object, ...]) -> list[sqlite3.Row]:
        return await self._run(lambda connection: connection.execute(sql, parameters).fetchall())

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do the work in a thread, inside one transaction."""

        def run() -> T:
            with self._lock, self._translated():
                if self._connection is None:
                    self._connection = _open(self._path)
                with self._connection:
                    return work(self._connection)

        return await asyncio.to_thread(run)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as exc:
            code = getattr(exc, "sqlite_errorcode", None)
            if code == sqlite3.SQLITE_FULL:
                logger.warning("no space left on the disk of %s", self._path)
                raise StorageFull("no space left on the disk of the knowledge base") from exc
            if code == sqlite3.SQLITE_BUSY:
                logger.warning("%s is in use by another process", self._path)
                raise Unavailable(f"{self._name} is in use by another process") from exc
            logger.warning("%s cannot be used: %s", self._path, exc)
            raise Unavailable(f"{self._name} cannot be used: {exc}") from exc


def _open(path: Path | None) -> sqlite3.Connection:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path or ":memory:", timeout=_BUSY_TIMEOUT_S, check_same_thread=False)
    try:
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.executescript(_SCHEMA)
        _add_missing_columns(connection)
    except BaseException:
        connection.close()
        raise
    return connection


# Columns that files of earlier days lack: name -> how it is declared.
_ADDED = {"version": "TEXT NOT NULL DEFAULT ''"}


def _add_missing_columns(connection: sqlite3.Connection) -> None:
    there = {row["name"] for row in connection.execute("PRAGMA table_info(documents)")}
    for name, declared in _ADDED.items():
        if name not in there:
            connection.execute(f"ALTER TABLE documents ADD COLUMN {name} {declared}")


_COLUMNS = (
    "tenant", "id", "source", "path", "title", "media_type", "sha256", "num_chunks", "num_bytes", "ingested_at",
    "metadata", "declared_media_type", "recipe", "chunk_ids",
    "version",
)  # fmt: skip
_PUT = f"REPLACE INTO documents ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608


def _row(tenant: str, record: Record) -> tuple[object, ...]:
    info = record.info
    return (
        tenant,
        info.id,
        info.source,
        info.path,
        info.title,
        info.media_type,
        info.sha256,
        info.num_chunks,
        info.num_bytes,
        info.ingested_at,
        json.dumps(dict(info.metadata), ensure_ascii=False),
        record.declared_media_type,
        record.recipe.encoded() if record.recipe else "",
        json.dumps(record.chunk_ids),
        info.version,
    )


def _record(row: sqlite3.Row) -> Record:
    return Record(
        info=DocumentInfo(
            id=row["id"],
            source=row["source"],
            path=row["path"],
            title=row["title"],
            media_type=row["media_type"],
            sha256=row["sha256"],
            num_chunks=row["num_chunks"],
            num_bytes=row["num_bytes"],
            ingested_at=row["ingested_at"],
            metadata=json.loads(row["metadata"]),
            version=row["version"],
        ),
        declared_media_type=row["declared_media_type"],
        recipe=Recipe.decoded(row["recipe"]) if row["recipe"] else None,
        chunk_ids=tuple(json.loads(row["chunk_ids"])),
    )
