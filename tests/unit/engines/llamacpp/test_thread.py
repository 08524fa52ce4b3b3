from __future__ import annotations

import threading

import pytest

from serve_app.engines.llamacpp.thread import EngineThread
from serve_app.errors import EngineFailed, MantaError, Unavailable
from serve_app.health.progress import Progress


class Job:
    def __init__(self, name: str) -> None:
        self.name = name
        self.error: MantaError | None = None
        self.is_answered = threading.Event()

    def fail(self, error: MantaError) -> None:
        self.error = error
        self.is_answered.set()


def answer_all(waiting: list[Job]) -> None:
    for job in waiting:
        job.is_answered.set()
    waiting.clear()


def nothing() -> None:
    return


def patient() -> Progress:
    return Progress("e", 1e6)


async def test_jobs_are_worked_on_and_the_engine_is_freed_once() -> None:
    freed: list[str] = []
    thread: EngineThread[Job] = EngineThread(
        "e", answer_all, lambda: freed.append(threading.current_thread().name), patient()
    )
    job = Job("a")
    thread.submit(job)
    assert job.is_answered.wait(10)
    assert job.error is None
    await thread.close()
    await thread.close()
    assert freed == ["e"]


async def test_new_jobs_join_those_that_wait() -> None:
    seen: list[list[str]] = []
    is_in, may_go_on = threading.Event(), threading.Event()

    def work(waiting: list[Job]) -> None:
        seen.append([job.name for job in waiting])
        is_in.set()
        may_go_on.wait(10)
        if len(seen) > 1:
            answer_all(waiting)

    thread: EngineThread[Job] = EngineThread("e", work, nothing, patient())
    first, second = Job("first"), Job("second")
    thread.submit(first)
    assert is_in.wait(10)
    thread.submit(second)
    may_go_on.set()
    assert second.is_answered.wait(10)
    assert seen == [["first"], ["first", "second"]]
    await thread.close()


async def test_a_thread_that_dies_tells_everyone_and_is_unhealthy() -> None:
    def die(_: list[Job]) -> None:
        raise ZeroDivisionError("broken")

    thread: EngineThread[Job] = EngineThread("e", die, nothing, patient())
    thread.check()
    job = Job("a")
    thread.submit(job)
    assert job.is_answered.wait(10)
    assert isinstance(job.error, EngineFailed)
    await thread.close()
    with pytest.raises(EngineFailed, match="the engine thread of e died: ZeroDivisionError"):
        thread.check()
    with pytest.raises(EngineFailed):
        thread.submit(Job("b"))


async def test_closing_answers_those_who_wait() -> None:
    is_in, may_go_on = threading.Event(), threading.Event()

    def work(_: list[Job]) -> None:
        is_in.set()
        may_go_on.wait(10)

    thread: EngineThread[Job] = EngineThread("e", work, nothing, patient())
    job = Job("a")
    thread.submit(job)
    assert is_in.wait(10)
    may_go_on.set()
    await thread.close()
    assert isinstance(job.error, Unavailable)
    with pytest.raises(Unavailable, match="e is stopping"):
        thread.submit(Job("b"))


async def test_an_engine_that_hangs_is_given_up_and_everybody_is_told() -> None:
    now_s = 0.0
    is_in, may_go_on, is_freed = threading.Event(), threading.Event(), threading.Event()
    num_pieces = 0

    def work(_: list[Job]) -> None:
        nonlocal num_pieces
        num_pieces += 1
        is_in.set()
        may_go_on.wait(30)

    thread: EngineThread[Job] = EngineThread("e", work, is_freed.set, Progress("e", 10.0, lambda: now_s))
    working, queued = Job("a"), Job("b")
    thread.submit(working)
    assert is_in.wait(10)
    thread.submit(queued)
    now_s = 10.0
    thread.check()
    now_s = 11.0
    for _ in range(2):
        with pytest.raises(EngineFailed, match="e hangs: a step takes 11 s"):
            thread.check()
    for job in (working, queued):
        assert isinstance(job.error, EngineFailed)
    with pytest.raises(EngineFailed):
        thread.submit(Job("c"))
    # What it uses may not be freed under it; it frees it itself should it ever move on.
    assert await thread.close() is False
    assert not is_freed.is_set()
    may_go_on.set()
    assert is_freed.wait(10)
    assert num_pieces == 1


async def test_closing_finds_out_that_it_hangs() -> None:
    now_s = 0.0
    is_in, may_go_on = threading.Event(), threading.Event()

    def work(_: list[Job]) -> None:
        is_in.set()
        may_go_on.wait(30)

    thread: EngineThread[Job] = EngineThread("e", work, nothing, Progress("e", 10.0, lambda: now_s))
    job = Job("a")
    thread.submit(job)
    assert is_in.wait(10)
    now_s = 11.0
    assert await thread.close() is False
    assert isinstance(job.error, EngineFailed)
    may_go_on.set()


async def test_an_engine_at_rest_does_not_hang() -> None:
    now_s = 0.0
    thread: EngineThread[Job] = EngineThread("e", answer_all, nothing, Progress("e", 10.0, lambda: now_s))
    job = Job("a")
    thread.submit(job)
    assert job.is_answered.wait(10)
    assert await thread.close()
    now_s = 1e6
    with pytest.raises(Unavailable, match="e is stopping"):
        thread.check()
