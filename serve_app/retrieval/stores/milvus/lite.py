"""What Milvus Lite must be told, and a server does by itself: to load a collection, and to flush it.

Rows that are not flushed are in no index: each search reads all of them, value by value in Python, and makes
a lexical index of them for itself alone. Milvus Lite flushes by itself at 128 MiB only.

Knows nothing of chunks; the client is given.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

# A flush writes only the rows since the last one, and four small files become one by themselves, so how often it
# is done need not fall as the collection grows.
MAX_UNFLUSHED = 128


def wake(client: Any, names: Iterable[str], timeout_s: float) -> None:
    """Make collections that were there before ready to be searched, with no row unflushed. Blocks.

    A file that is opened again has its collections unloaded, which refuse every search, and what an ended process
    had not flushed.
    """
    for name in names:
        client.flush(name, timeout=timeout_s)
        client.load_collection(name, timeout=timeout_s)


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
