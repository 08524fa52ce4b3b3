"""When Milvus Lite's rows are flushed and its files made one, and who waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest

from serve_app.retrieval.stores.milvus import lite
from serve_app.retrieval.stores.milvus.lite import MAX_UNFLUSHED, Flushing, Merging, num_deleted, wake

LIMIT_S = 10.0  # of a wait that is never as long


def test_a_flush_is_due_once_enough_rows_were_written_since_the_last() -> None:
    flushing = Flushing()
    assert not flushing.is_due("a", MAX_UNFLUSHED - 1)
    assert not flushing.is_due("b", 1)  # each collection for itself
    assert flushing.is_due("a", 1)
    assert flushing.is_due("a", 1)  # still, until it is done
    with flushing.flush("a"):
        pass
    assert not flushing.is_due("a", MAX_UNFLUSHED - 1)
    assert not flushing.is_due("b", MAX_UNFLUSHED - 2)


def test_a_flush_that_fails_is_due_again_and_lets_reads_go_on() -> None:
    flushing = Flushing()
    assert flushing.is_due("a", MAX_UNFLUSHED)
    with pytest.raises(OSError, match="full"), flushing.flush("a"):
        raise OSError("the disk is full")
    assert flushing.is_due("a", 0)
    with flushing.read():
        pass


class _Threads:
    """Runs a read or a flush that stays until it is told to end."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool

    def hold(self, entered: Callable[[], Any]) -> tuple[Event, Event, Future[None]]:
        is_in, may_leave = Event(), Event()

        def work() -> None:
            with entered():
                is_in.set()
                assert may_leave.wait(LIMIT_S)

        return is_in, may_leave, self._pool.submit(work)


def test_reads_go_side_by_side_and_a_flush_waits_for_them() -> None:
    flushing = Flushing()
    with ThreadPoolExecutor(4) as pool:
        threads = _Threads(pool)
        reads = [threads.hold(flushing.read) for _ in range(2)]
        assert all(is_in.wait(LIMIT_S) for is_in, _, _ in reads)
        is_flushing, may_end, flush = threads.hold(lambda: flushing.flush("a"))
        for _, may_leave, read in reads:
            assert not is_flushing.is_set()
            may_leave.set()
            read.result(LIMIT_S)
        assert is_flushing.wait(LIMIT_S)
        late, may_leave, read = threads.hold(flushing.read)
        assert not late.wait(0.05)  # it waits for the flush
        may_end.set()
        flush.result(LIMIT_S)
        assert late.wait(LIMIT_S)
        may_leave.set()
        read.result(LIMIT_S)


class _Client:
    """Notes what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def flush(self, name: str, timeout: float) -> None:
        self.asked.append(("flush", name))

    def load_collection(self, name: str, timeout: float) -> None:
        self.asked.append(("load", name))


def test_a_file_that_is_opened_again_is_flushed_and_loaded() -> None:
    client = _Client()
    wake(client, ["a", "b"], 1.0)
    assert client.asked == [("flush", "a"), ("load", "a"), ("flush", "b"), ("load", "b")]


def test_deletions_are_counted_however_they_are_told() -> None:
    assert num_deleted(["a", "b"]) == 2
    assert num_deleted({"delete_count": 3}) == 3


class _Copies:
    """Copies collections of 1,000 rows, as a store does."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.merging = Merging(self._merge)
        self.locked = asyncio.Lock()

    async def _merge(self) -> None:
        async with self.locked:
            for name in ("a", "b"):
                if self.merging.is_due(name, 1000):
                    self.made.append(name)
                    self.merging.merged(name)


async def passed() -> None:
    """Whatever is ready has had its turn."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> _Copies:
    monkeypatch.setattr(lite, "QUIET_S", 0.0)
    return _Copies()


async def test_a_collection_is_copied_once_a_twentieth_of_it_is_new(copies: _Copies) -> None:
    copies.merging.wrote("a", 50)
    await passed()
    assert copies.made == []
    copies.merging.wrote("a", 1)
    await passed()
    assert copies.made == ["a"]
    copies.merging.wrote("a", 50)  # since the copy
    copies.merging.wrote("b", 1000)
    await passed()
    assert copies.made == ["a", "b"]


async def test_what_is_very_large_is_not_copied_by_itself(
    copies: _Copies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lite, "QUIET_S", 3600.0)
    copies.merging.wrote("a", 10 * lite.MAX_COPIED)
    assert copies.merging.is_due("a", lite.MAX_COPIED)
    assert not copies.merging.is_due("a", lite.MAX_COPIED + 1)
    await copies.merging.close()


async def test_each_write_begins_the_wait_again(copies: _Copies, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lite, "QUIET_S", 3600.0)
    copies.merging.wrote("a", 1000)
    await passed()
    monkeypatch.setattr(lite, "QUIET_S", 0.0)
    copies.merging.wrote("a", 0)
    await passed()
    assert copies.made == ["a"]


async def test_what_is_written_while_a_copy_waits_for_it_is_in_that_copy(copies: _Copies) -> None:
    async with copies.locked:
        copies.merging.wrote("a", 1000)
        await passed()
        copies.merging.wrote("a", 1000)
    await passed()
    assert copies.made == ["a"]
    copies.merging.wrote("a", 1)
    await passed()
    assert copies.made == ["a"]


async def test_nothing_is_copied_after_the_end(copies: _Copies) -> None:
    copies.merging.wrote("a", 1000)
    await copies.merging.close()
    await passed()
    assert copies.made == []
