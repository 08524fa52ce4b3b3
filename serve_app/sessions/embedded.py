"""Sessions in a file: SQLite, because several replicas write, and any of them may be killed.

A write-ahead log, so that readers and a writer do not wait for each other. What a process has written is there when
it is killed; the last turns before a power failure may be missing, and nothing else is.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from serve_app.errors import Unavailable
from serve_app.sessions.base import Session, SessionInfo, SessionKey
from serve_app.sessions.record import decode, encode
from serve_app.sessions.store import info_of

T = TypeVar("T")

_BUSY_TIMEOUT_S = 5.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS sessions (
    tenant TEXT, user_id TEXT, session_id TEXT, revision INTEGER NOT NULL, document TEXT NOT NULL,
    num_messages INTEGER NOT NULL, created_at_s REAL NOT NULL, updated_at_s REAL NOT NULL, expires_at_s REAL NOT NULL,
    PRIMARY KEY (tenant, user_id, session_id)
);
CREATE INDEX IF NOT EXISTS expiry ON sessions (expires_at_s);
"""
_READ = (
    "SELECT document FROM sessions WHERE tenant = ? AND user_id = ? AND session_id = ? AND expires_at_s > ?"
)
_REVISION = "SELECT revision FROM sessions WHERE tenant = ? AND user_id = ? AND session_id = ?"
_DELETE = "DELETE FROM sessions WHERE tenant = ? AND user_id = ? AND session_id = ? AND expires_at_s > ?"
_DELETE_OLDEST = """
DELETE FROM sessions WHERE tenant = ?1 AND user_id = ?2 AND session_id IN (
    SELECT session_id FROM sessions WHERE tenant = ?1 AND user_id = ?2
    ORDER BY updated_at_s DESC, session_id = ?3 DESC LIMIT -1 OFFSET ?4
)
"""


class EmbeddedRecords:
    """Records in one file, which is made when it is not there, for its owner's eyes only."""

    def __init__(
        self, path: Path, ttl_s: float, max_per_user: int, now_s: Callable[[], float] = time.time
    ) -> None:
        self._path = path
        self._ttl_s = ttl_s
        self._max_per_user = max_per_user
        self._now_s = now_s
        # One connection, used on one thread: SQLite lets one writer in at a time anyhow.
        self._thread = ThreadPoolExecutor(1, "sessions")
        self._database: sqlite3.Connection | None = None

    async def read(self, key: SessionKey) -> Session | None:
        return await self._run(lambda database: self._read(database, key))

    async def write(self, key: SessionKey, session: Session, revision: int) -> bool:
        document = encode(session)
        return await self._run(lambda database: self._write(database, key, session, document, revision))

    async def infos(self, tenant: str, user_id: str) -> list[SessionInfo]:
        return await self._run(lambda database: self._infos(database, tenant, user_id))

    async def delete(self, key: SessionKey) -> bool:
        return await self._run(lambda database: self._delete(database, key))

    async def close(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._thread, self._disconnect)
        except RuntimeError:  # it is closed already
            return
        self._thread.shutdown()

    # ------------------------------------------------------------ on the thread

    def _read(self, database: sqlite3.Connection, key: SessionKey) -> Session | None:
        row = database.execute(_READ, (*_row(key), self._now_s())).fetchone()
        return None if row is None else decode(row[0])

    def _write(
        self, database: sqlite3.Connection, key: SessionKey, session: Session, document: str, revision: int
    ) -> bool:
        now_s = self._now_s()
        info = info_of(key.session_id, session)
        database.execute("BEGIN IMMEDIATE")  # what is compared cannot change before it is set
        database.execute("DELETE FROM sessions WHERE expires_at_s <= ?", (now_s,))
        known = database.execute(_REVISION, _row(key)).fetchone()
        if (0 if known is None else known[0]) != revision:
            return False
        database.execute(
            "INSERT OR REPLACE INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *_row(key),
                session.revision,
                document,
                info.num_messages,
                info.created_at_s,
                info.updated_at_s,
                now_s + self._ttl_s,
            ),
        )
        database.execute(_DELETE_OLDEST, (*_row(key), self._max_per_user))
        database.execute("COMMIT")
        return True

    def _infos(self, database: sqlite3.Connection, tenant: str, user_id: str) -> list[SessionInfo]:
        rows = database.execute(
            "SELECT session_id, num_messages, created_at_s, updated_at_s FROM sessions"
            " WHERE tenant = ? AND user_id = ? AND expires_at_s > ?",
            (tenant, user_id, self._now_s()),
        )
        return [SessionInfo(*row) for row in rows]

    def _delete(self, database: sqlite3.Connection, key: SessionKey) -> bool:
        done = database.execute(_DELETE, (*_row(key), self._now_s()))
        return done.rowcount > 0

    # --------

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._work, work)
        except RuntimeError as exc:
            raise Unavailable("the sessions' file is closed") from exc

    def _work(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            database = self._connect()
            try:
                return work(database)
            finally:
                if database.in_transaction:
                    database.execute("ROLLBACK")
        except (OSError, sqlite3.Error) as exc:
            self._disconnect()
            raise Unavailable(f"the sessions' file cannot be used: {exc}") from exc
        except (ValueError, KeyError, TypeError) as exc:
            raise Unavailable("the sessions' file holds a record that is none of ours") from exc

    def _connect(self) -> sqlite3.Connection:
        if self._database is None:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not self._path.exists():
                self._path.touch(mode=0o600)
            database = sqlite3.connect(self._path, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
            self._database = database
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            database.executescript(_SCHEMA)
        return self._database

    def _disconnect(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            database.close()


def _row(key: SessionKey) -> tuple[str, str, str]:
    return key.tenant, key.user_id, key.session_id
