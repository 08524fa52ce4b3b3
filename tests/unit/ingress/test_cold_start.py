from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from serve_app.errors import EngineFailed, Unavailable
from serve_app.ingress.waking.cold_start import ColdStart


class Hall:
    """Simulated time, and a deployment that sleeps in it until `runs_at_s`."""

    def __init__(self, runs_at_s: float) -> None:
        self.now_s = 0.0
        self.runs_at_s = runs_at_s
        self.events: list[str] = []

    def is_asleep(self) -> bool:
        return self.now_s < self.runs_at_s

    async def pause(self, seconds: float) -> None:
        """Others go on for a while, then so much time has passed."""
        assert seconds >= 0
        for _ in range(10):
            await asyncio.sleep(0)
        self.now_s += seconds

    async def until(self, at_s: float) -> None:
        try:
            while self.now_s < at_s:  # noqa: ASYNC110 (simulated time has no event)
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.events.append("cancelled")
            raise

    async def frames(self, first_at_s: float, error: Exception | None = None) -> AsyncIterator[bytes]:
        try:
            await self.until(first_at_s)
            if error is not None:
                raise error
            yield b"data: 1\n\n"
            yield b"data: 2\n\n"
        finally:
            self.events.append("closed")

    def wait(self, timeout_s: float = 60.0) -> ColdStart:
        return ColdStart(
            "mock",
            timeout_s,
            self.is_asleep,
            tell_every_s=3.0,
            clock=lambda: self.now_s,
            pause=self.pause,
        )


async def collect(stream: AsyncIterator[bytes]) -> list[bytes]:
    return [frame async for frame in stream]


async def test_a_client_is_told_until_the_first_frame_and_then_gets_them_all() -> None:
    hall = Hall(runs_at_s=7.0)
    got = [frame async for frame in hall.wait().stream(hall.frames(first_at_s=7.5))]
    comments = [b": mock is starting, 3 s\n\n", b": mock is starting, 6 s\n\n"]
    assert got == [*comments, b"data: 1\n\n", b"data: 2\n\n"]
    assert hall.events == ["closed"]


async def test_a_model_that_runs_says_nothing_however_long_it_takes() -> None:
    hall = Hall(runs_at_s=0.0)
    got = [frame async for frame in hall.wait(timeout_s=5.0).stream(hall.frames(first_at_s=100.0))]
    assert got == [b"data: 1\n\n", b"data: 2\n\n"]


async def test_the_wait_is_bounded_and_says_when_to_come_again() -> None:
    hall = Hall(runs_at_s=1e9)
    stream = hall.wait(timeout_s=10.0).stream(hall.frames(first_at_s=1e9))
    assert [await anext(stream) for _ in range(3)][-1] == b": mock is starting, 9 s\n\n"
    with pytest.raises(Unavailable, match="mock was asleep and has not started within 10 s") as caught:
        await anext(stream)
    assert hall.now_s == pytest.approx(10.0)
    assert caught.value.status == 503
    assert 0 < caught.value.retry_after_s <= 30
    assert hall.events == ["cancelled", "closed"]


async def test_a_time_out_shorter_than_the_first_comment_is_raised_before_any() -> None:
    hall = Hall(runs_at_s=1e9)
    with pytest.raises(Unavailable):
        await anext(hall.wait(timeout_s=2.0).stream(hall.frames(first_at_s=1e9)))
    assert hall.now_s == pytest.approx(2.0)


async def test_an_error_before_anything_was_said_is_raised_as_it_is() -> None:
    hall = Hall(runs_at_s=0.0)
    with pytest.raises(EngineFailed):
        await anext(hall.wait().stream(hall.frames(0.0, EngineFailed("broken"))))
    assert hall.events == ["closed"]


async def test_an_error_after_comments_is_raised_after_them() -> None:
    hall = Hall(runs_at_s=4.0)
    stream = hall.wait().stream(hall.frames(4.0, EngineFailed("broken")))
    assert await anext(stream) == b": mock is starting, 3 s\n\n"
    with pytest.raises(EngineFailed):
        await anext(stream)


async def test_a_stream_without_frames_ends() -> None:
    async def nothing() -> AsyncIterator[bytes]:
        return
        yield b""

    assert [frame async for frame in Hall(0.0).wait().stream(nothing())] == []


async def test_a_client_that_leaves_while_it_waits_ends_the_call() -> None:
    hall = Hall(runs_at_s=1e9)
    stream = hall.wait(timeout_s=1e6).stream(hall.frames(first_at_s=1e9))
    await anext(stream)
    await stream.aclose()
    assert hall.events == ["cancelled", "closed"]


async def test_a_reader_that_is_cancelled_while_it_waits_ends_the_call() -> None:
    hall = Hall(runs_at_s=1e9)

    async def read() -> None:
        async for _ in hall.wait(timeout_s=1e6).stream(hall.frames(first_at_s=1e9)):
            pass

    reader = asyncio.create_task(read())
    await hall.until(10.0)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert "cancelled" in hall.events


async def test_the_wait_counts_from_when_the_last_replica_went() -> None:
    """It ran when the request came, broke, and is started again."""

    class Broken(Hall):
        def is_asleep(self) -> bool:
            return self.now_s >= 30.0

    hall = Broken(runs_at_s=0.0)
    stream = hall.wait(timeout_s=10.0).stream(hall.frames(first_at_s=1e9))
    assert await anext(stream) == b": mock is starting, 3 s\n\n"
    with pytest.raises(Unavailable):
        await collect(stream)
    assert 36.0 <= hall.now_s <= 43.0


async def test_without_a_stream_the_answer_is_waited_for_as_long() -> None:
    async def answer(hall: Hall, at_s: float) -> str:
        await hall.until(at_s)
        return "answer"

    hall = Hall(runs_at_s=7.0)
    assert await hall.wait().respond(answer(hall, 8.0)) == "answer"
    hall = Hall(runs_at_s=1e9)
    with pytest.raises(Unavailable):
        await hall.wait(timeout_s=10.0).respond(answer(hall, 1e9))
    assert hall.events == ["cancelled"]
