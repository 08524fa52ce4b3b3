"""Which cores what is started may use. Processes inherit the cores of the thread that starts them."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from benchmarks.errors import BenchmarkError


def available() -> tuple[int, ...]:
    """The cores that this process may use, in order."""
    return tuple(sorted(os.sched_getaffinity(0)))


@contextmanager
def pinned(cpus: Collection[int]) -> Iterator[None]:
    """This thread, and what it starts meanwhile, on these cores; none given: as before.

    Raises:
        BenchmarkError: the machine has no such core.
    """
    before = os.sched_getaffinity(0)
    if cpus:
        try:
            os.sched_setaffinity(0, cpus)
        except OSError as exc:
            raise BenchmarkError(f"cores {sorted(cpus)} are not to be had: {exc.strerror}") from exc
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def parse(text: str) -> tuple[int, ...]:
    """ "0,2" as numbers; "" is none.

    Raises:
        ValueError: it is no list of numbers.
    """
    return tuple(int(word) for word in text.split(",") if word.strip())
