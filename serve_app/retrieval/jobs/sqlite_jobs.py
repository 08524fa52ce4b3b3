"""Jobs and their documents in a SQLite file beside an embedded store, whose one replica is its only user."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

from serve_app.errors import StorageFull, Unavailable
from serve_app.messages import DocumentInput
from serve_app.retrieval.jobs.base import Job, JobStatus

T = TypeVar("T")

logger = logging.getLogger("manta.retrieval")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY,
    tenant TEXT NOT NULL,
    created_at TEXT NOT NULL,
    number INTEGER NOT NULL,
    is_open INTEGER NOT NULL,
    is_cancel_wanted INTEGER NOT NULL,
    record TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS jobs_by_tenant ON jobs (tenant, number);
CREATE TABLE IF NOT EXISTS documents (
    job_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    path TEXT NOT NULL,
    content BLOB NOT NULL,
    rest TEXT NOT NULL,
    PRIMARY KEY (job_id, position)
);
"""


class SqliteJobs:
    """A JobStore in a file, opened at the first use; in memory when there is no path."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.Lock()

    async def add(self, job: Job, documents: Sequence[DocumentInput]) -> None:
        rows = [
            (job.id, at, one.path, one.content, json.dumps([one.media_type, dict(one.metadata), one.version]))
            for at, one in enumerate(documents)
        ]

        def add(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO jobs SELECT ?, ?, ?, coalesce(max(number), 0) + 1, 1, 0, ? FROM jobs",
                (job.id, job.tenant, job.created_at, _encoded(job)),
            )
            connection.executemany("INSERT INTO documents VALUES (?, ?, ?, ?, ?)", rows)

        await self._run(add)

    async def get(self, tenant: str, job_id: str) -> Job | None:
        found = await self._select("WHERE tenant = ? AND id = ?", (tenant, job_id))
        return found[0] if found else None

    async def of(self, tenant: str) -> list[Job]:
        return await self._select("WHERE tenant = ? ORDER BY number DESC", (tenant,))

    async def open(self) -> list[Job]:
        return await self._select("WHERE is_open ORDER BY number", ())

    async def documents(self, job: Job, first: int, num: int) -> list[DocumentInput]:
        sql = "SELECT path, content, rest FROM documents WHERE job_id = ? AND position >= ? ORDER BY position LIMIT ?"
        rows = await self._run(lambda connection: connection.execute(sql, (job.id, first, num)).fetchall())
        return [_document(row) for row in rows]

    async def update(self, job: Job) -> Job:
        def update(connection: sqlite3.Connection) -> Job:
            connection.execute(
                "UPDATE jobs SET is_open = ?, record = ? WHERE id = ?", (job.is_open, _encoded(job), job.id)
            )
            if not job.is_open:
                connection.execute("DELETE FROM documents WHERE job_id = ?", (job.id,))
            row = connection.execute("SELECT * FROM jobs WHERE id = ?", (job.id,)).fetchone()
            return job if row is None else _job(row)

        return await self._run(update)

    async def ask_cancel(self, tenant: str, job_id: str) -> Job | None:
        def ask(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE jobs SET is_cancel_wanted = 1 WHERE tenant = ? AND id = ? AND is_open",
                (tenant, job_id),
            )

        await self._run(ask)
        return await self.get(tenant, job_id)

    async def forget(self, job: Job) -> None:
        def forget(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM documents WHERE job_id = ?", (job.id,))
            connection.execute("DELETE FROM jobs WHERE id = ?", (job.id,))

        await self._run(forget)

    async def close(self) -> None:
        def close() -> None:
            with self._lock:
                if self._connection is not None:
                    self._connection.close()
                    self._connection = None

        await asyncio.to_thread(close)

    async def _select(self, where: str, parameters: tuple[object, ...]) -> list[Job]:
        sql = f"SELECT * FROM jobs {where}"  # noqa: S608 (the conditions above)
        rows = await self._run(lambda connection: connection.execute(sql, parameters).fetchall())
        return [_job(row) for row in rows]

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do the work in a thread, inside one transaction, which is on the disk afterwards."""

        def run() -> T:
            with self._lock, _translated(self._path):
                if self._connection is None:
                    self._connection = _opened(self._path)
                with self._connection:
                    return work(self._connection)

        return await asyncio.to_thread(run)


@contextmanager
def _translated(path: Path | None) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as exc:
        logger.warning("the jobs in %s cannot be used: %s", path, exc)
        if getattr(exc, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            raise StorageFull("no space left on the disk of the knowledge base's jobs") from exc
        raise Unavailable(f"the knowledge base's jobs cannot be used: {exc}") from exc


def _opened(path: Path | None) -> sqlite3.Connection:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path or ":memory:", timeout=1.0, check_same_thread=False)
    try:
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.executescript(_SCHEMA)
    except BaseException:
        connection.close()
        raise
    return connection


def _encoded(job: Job) -> str:
    return json.dumps(asdict(job), ensure_ascii=False)


def _job(row: sqlite3.Row) -> Job:
    return replace(decoded(json.loads(row["record"])), is_cancel_wanted=bool(row["is_cancel_wanted"]))


def decoded(record: dict[str, Any]) -> Job:
    """The job of what `asdict` made of one."""
    failed = tuple((path, reason) for path, reason in record["failed"])
    return Job(**{**record, "status": JobStatus(record["status"]), "failed": failed})


def _document(row: sqlite3.Row) -> DocumentInput:
    media_type, metadata, version = json.loads(row["rest"])
    return DocumentInput(row["path"], row["content"], media_type, metadata, version)
