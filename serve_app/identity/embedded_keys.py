"""Keys in a file: SQLite, because `manta keys` writes while the application reads, and either may be killed.

One writer at a time; what was committed is there after a crash (journal and fsync are SQLite's defaults).
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serve_app.errors import Unavailable
from serve_app.identity.base import KeyChanges, KeyRecord
from serve_app.identity.key_codec import decode_record, encode_record

_BUSY_TIMEOUT_S = 5.0
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS keys (id TEXT PRIMARY KEY, generation INTEGER UNIQUE, record TEXT NOT NULL)"
)


class EmbeddedKeyStore:
    """A KeyStore in one file, which is made when it is not there, for its owner's eyes only."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def put(self, record: KeyRecord) -> None:
        await asyncio.to_thread(self._put, record)

    async def changes(self, since: int) -> KeyChanges:
        return await asyncio.to_thread(self._changes, since)

    async def close(self) -> None:
        """There is nothing to let go of: each call opens the file for itself."""

    def _put(self, record: KeyRecord) -> None:
        with self._open() as database:
            database.execute("BEGIN IMMEDIATE")  # the generation is read and written by one writer
            (newest,) = database.execute("SELECT COALESCE(MAX(generation), 0) FROM keys").fetchone()
            database.execute(
                "INSERT OR REPLACE INTO keys VALUES (?, ?, ?)", (record.id, newest + 1, encode_record(record))
            )
            database.execute("COMMIT")

    def _changes(self, since: int) -> KeyChanges:
        with self._open() as database:
            rows = database.execute(
                "SELECT generation, record FROM keys WHERE generation > ? ORDER BY generation", (since,)
            ).fetchall()
            generation = rows[-1][0] if rows else since
            return KeyChanges(generation, tuple(decode_record(record) for _, record in rows))

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if not self._path.exists():
                self._path.touch(mode=0o600)
            database = sqlite3.connect(self._path, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
        except (OSError, sqlite3.Error) as exc:
            raise Unavailable(f"the keys' file cannot be opened: {exc}") from exc
        try:
            database.execute(_SCHEMA)
            yield database
        except sqlite3.Error as exc:
            raise Unavailable(f"the keys' file cannot be used: {exc}") from exc
        except (ValueError, KeyError, TypeError) as exc:
            raise Unavailable("the keys' file holds a record that is none of ours") from exc
        finally:
            database.close()
