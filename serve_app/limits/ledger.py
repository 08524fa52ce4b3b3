"""Usage in a file: SQLite, one row a day, tenant, key and model. What was added is there after a crash."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path

from serve_app.errors import Unavailable
from serve_app.limits.base import UsageRow

_SCHEMA = """CREATE TABLE IF NOT EXISTS usage (
    day TEXT, tenant TEXT, who TEXT, model TEXT,
    num_requests INTEGER, num_prompt_tokens INTEGER, num_answer_tokens INTEGER, nano_usd INTEGER,
    PRIMARY KEY (day, tenant, who, model))"""
_ADD = """INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    num_requests = num_requests + excluded.num_requests,
    num_prompt_tokens = num_prompt_tokens + excluded.num_prompt_tokens,
    num_answer_tokens = num_answer_tokens + excluded.num_answer_tokens,
    nano_usd = nano_usd + excluded.nano_usd"""
_COLUMNS = "day, tenant, who, model, num_requests, num_prompt_tokens, num_answer_tokens, nano_usd"


class Ledger:
    """Blocks: to be called on a thread."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, rows: Sequence[UsageRow]) -> None:
        """Raises Unavailable if the file cannot be written; then nothing of it was."""
        values = [astuple(row) for row in rows]  # fields and columns have one order
        with self._open() as database, database:
            database.executemany(_ADD, values)

    def read(self, since_day: str) -> list[UsageRow]:
        """Rows of that day and after."""
        with self._open() as database:
            found = database.execute(
                f"SELECT {_COLUMNS} FROM usage WHERE day >= ? ORDER BY day",  # noqa: S608 (our own columns)
                (since_day,),
            )
            return [UsageRow(*row) for row in found]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if not self._path.exists():
                self._path.touch(mode=0o600)
            database = sqlite3.connect(self._path, timeout=5.0)
        except (OSError, sqlite3.Error) as exc:
            raise Unavailable(f"the usage file cannot be opened: {exc}") from exc
        try:
            database.execute(_SCHEMA)
            yield database
        except sqlite3.Error as exc:
            raise Unavailable(f"the usage file cannot be used: {exc}") from exc
        finally:
            database.close()
