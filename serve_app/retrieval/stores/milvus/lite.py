"""What Milvus Lite must be told, and a server does by itself: to load, to flush, to make one file of many.

Rows that are not flushed are in no index: each search reads all of them, value by value in Python, and makes
a lexical index of them for itself alone. Milvus Lite flushes by itself at 128 MiB only.

A flush makes a file, and passages are ranked by how rare the question's words are in their own file: the fewer the
rows beside them, the more it is chance. Milvus Lite joins files of one size, four at a time, and never all of them; a
copy of the collection has one.

Knows nothing of chunks; the client is given.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

# A flush writes only the rows since the last one, and four small files become one by themselves, so how often it
# is done need not fall as the collection grows.
MAX_UNFLUSHED = 128
# A collection is copied once this share of its rows came after the last copy, so that what is copied in the long run
# is at most twenty times what is written;
FRESH_SHARE = 0.05
# and unless it is so large that a copy keeps writes waiting for minutes: it is read by its keys, a part at a time;
MAX_COPIED = 50_000
# and once no write has come for so long: a sync writes its documents in many parts.
QUIET_S = 5.0


def wake(client: Any, names: Iterable[str], timeout_s: float) -> None:
    """Make collections that were there before ready to be searched, with no row unflushed. Blocks.

    A file that is opened again has its collections unloaded, which refuse every search, and what an ended process
    had not flushed.
    """
    for name in names:
        client.flush(name, timeout=timeout_s)
        client.load_collection(name, timeout=timeout_s)


def without_left_overs(client: Any, names: Iterable[str]) -> list[str]:
    """Those of the collections that an alias leads to; the others are dropped. Blocks.

    A process that ends while it copies a collection leaves the old one or the new one without an alias, and nothing
    else has none. Only for a file that this process alone has open.
    """
    kept = []
    for name in names:
        if client.list_aliases(name)["aliases"]:
            kept.append(name)
        else:
            client.drop_collection(name)
    return kept


def num_deleted(answer: list[str] | Mapping[str, int]) -> int:
    """Of what the client answers to a deletion: the keys, if there are any and the server tells them, else a count."""
    return len(answer) if isinstance(answer, list) else answer["delete_count"]


class Flushing:
    """When a collection is flushed, and that nobody reads meanwhile.

    A read looks at the flushed rows first and at the others then. Were the others flushed between the two, the
    read would see them in neither place. Threads call this, not the event loop.
    """

    def __init__(self) -> None:
        self._num_unflushed: Counter[str] = (
            Counter()
        )  # collection -> rows written and deleted since its flush
        self._changed = threading.Condition()
        self._num_reads = 0
        self._is_flushing = False

    def is_due(self, name: str, num_rows: int) -> bool:
        """Whether the collection is to be flushed, after so many more of its rows were written or deleted."""
        self._num_unflushed[name] += num_rows
        return self._num_unflushed[name] >= MAX_UNFLUSHED

    @contextmanager
    def read(self) -> Iterator[None]:
        """Read here. Waits for a flush that has begun."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_flushing)
            self._num_reads += 1
        try:
            yield
        finally:
            with self._changed:
                self._num_reads -= 1
                self._changed.notify_all()

    @contextmanager
    def flush(self, name: str) -> Iterator[None]:
        """Flush here. Waits for the reads that have begun; a flush that fails is due again at the next write."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_flushing)
            self._is_flushing = True
            self._changed.wait_for(lambda: not self._num_reads)
        try:
            yield
            del self._num_unflushed[name]
        finally:
            with self._changed:
                self._is_flushing = False
                self._changed.notify_all()


class Merging:
    """When collections are copied to make one file of many: some time after the last write. Of one event loop.

    Args:
        merge: copies those that are due; called with nobody waiting, so it raises nothing.
    """

    def __init__(self, merge: Callable[[], Awaitable[None]]) -> None:
        self._merge = merge
        self._num_fresh: Counter[str] = Counter()  # collection -> rows written and deleted since its copy
        self._waiting: asyncio.Task[None] | None = None
        self._is_merging = False

    def wrote(self, name: str, num_rows: int) -> None:
        """So many rows of the collection were written or deleted; the time without writes begins again."""
        self._num_fresh[name] += num_rows
        if self._is_merging:
            return  # it waits for this write, and copies its rows too
        if self._waiting is not None:
            self._waiting.cancel()
        self._waiting = asyncio.create_task(self._wait())

    def is_due(self, name: str, num_rows: int) -> bool:
        """Whether a collection of so many rows is to be copied."""
        return num_rows <= MAX_COPIED and self._num_fresh[name] > FRESH_SHARE * num_rows

    def merged(self, name: str) -> None:
        """It was copied, with no write meanwhile."""
        del self._num_fresh[name]

    async def close(self) -> None:
        """Nothing is copied after this. A copy that has begun is broken off, and the collection stays as it was."""
        if self._waiting is not None:
            self._waiting.cancel()
            await asyncio.wait([self._waiting])

    async def _wait(self) -> None:
        await asyncio.sleep(QUIET_S)
        self._is_merging = True
        try:
            await self._merge()
        finally:
            self._is_merging = False
