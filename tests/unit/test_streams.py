from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from serve_app.errors import DeadlineExceeded, EngineFailed
from serve_app.messages import Deadline
from serve_app.streams import close, joined, next_within, until_deadline

LONG_S = 3600.0  # a window that no test waits for


class Source:
    """Frames put in by hand: bytes, an error to raise, or None for the end."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[bytes | BaseException | None] = asyncio.Queue()
        self.num_taken = 0
        self.is_closed = False

    def put(self, *items: bytes | BaseException | None) -> None:
        for item in items:
            self._queue.put_nowait(item)

    async def frames(self) -> AsyncIterator[bytes]:
        try:
            while (item := await self._queue.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                self.num_taken += 1
                yield item
        finally:
            self.is_closed = True


async def until_idle() -> None:
    """Let every task run until all wait for something."""
    for _ in range(20):
        await asyncio.sleep(0)


# ---------------------------------------------------------------- until_deadline


async def test_items_pass_until_the_stream_ends() -> None:
    source = Source()
    source.put(b"a", b"b", None)
    assert [item async for item in until_deadline(source.frames(), Deadline.after(60), "x")] == [b"a", b"b"]
    assert source.is_closed


async def test_a_stream_that_is_silent_for_too_long_ends_at_the_deadline() -> None:
    source = Source()
    source.put(b"a")
    items = until_deadline(source.frames(), Deadline.after(0.01), "generate")
    assert await anext(items) == b"a"
    with pytest.raises(DeadlineExceeded) as caught:
        await anext(items)
    assert caught.value.stage == "generate"
    assert source.is_closed


async def test_the_deadline_also_ends_a_stream_that_never_waits() -> None:
    async def busy() -> AsyncIterator[int]:
        while True:
            yield 0

    with pytest.raises(DeadlineExceeded):
        async for _ in until_deadline(busy(), Deadline.after(0.01), "generate"):
            pass


async def test_the_consumers_own_time_is_not_counted_inside_its_code() -> None:
    source = Source()
    source.put(b"a")
    items = until_deadline(source.frames(), Deadline.after(0.005), "x")
    await anext(items)
    await asyncio.sleep(0.02)  # the timer must not strike here
    with pytest.raises(DeadlineExceeded):
        await anext(items)


async def test_a_timeout_of_the_stream_itself_is_no_deadline() -> None:
    source = Source()
    source.put(TimeoutError("the engine's own"))
    with pytest.raises(TimeoutError, match="the engine's own"):
        await anext(until_deadline(source.frames(), Deadline.after(60), "x"))


async def test_closing_closes_the_source() -> None:
    source = Source()
    source.put(b"a")
    items = until_deadline(source.frames(), Deadline.after(60), "x")
    await anext(items)
    await items.aclose()
    assert source.is_closed


async def test_next_within_tells_the_end_from_the_deadline() -> None:
    source = Source()
    source.put(None)
    with pytest.raises(StopAsyncIteration):
        await next_within(source.frames(), Deadline.after(60), "x")
    with pytest.raises(DeadlineExceeded):
        await next_within(source.frames(), Deadline.after(-1), "x")


# ---------------------------------------------------------------- joined


async def test_the_first_frame_leaves_at_once_and_the_rest_together() -> None:
    source = Source()
    source.put(b"a")
    messages = joined(source.frames(), LONG_S)
    assert await anext(messages) == b"a"
    source.put(b"b", b"c", b"d", None)
    assert [message async for message in messages] == [b"bcd"]


async def test_frames_that_come_while_the_consumer_works_are_not_forgotten() -> None:
    source = Source()
    source.put(b"a")
    messages = joined(source.frames(), 0.001)
    assert await anext(messages) == b"a"
    source.put(b"b")
    await until_idle()  # b arrives before the consumer asks, and nothing comes after it
    assert await anext(messages) == b"b"
    await messages.aclose()


async def test_a_frame_after_a_pause_leaves_at_once() -> None:
    source = Source()
    source.put(b"a")
    messages = joined(source.frames(), 0.02)
    await anext(messages)
    await asyncio.sleep(0.03)  # longer than the window
    waiting = asyncio.ensure_future(anext(messages))
    await until_idle()
    source.put(b"b")
    await until_idle()
    assert waiting.done()
    assert waiting.result() == b"b"
    await messages.aclose()


async def test_a_stream_without_frames_ends() -> None:
    source = Source()
    source.put(None)
    assert [message async for message in joined(source.frames(), LONG_S)] == []


async def test_an_error_comes_after_the_frames_before_it() -> None:
    source = Source()
    source.put(b"a")
    messages = joined(source.frames(), LONG_S)
    assert await anext(messages) == b"a"
    source.put(b"b", EngineFailed("broken"))
    assert await anext(messages) == b"b"
    with pytest.raises(EngineFailed, match="broken"):
        await anext(messages)
    assert source.is_closed


async def test_an_error_before_any_frame_is_raised_at_once() -> None:
    source = Source()
    source.put(EngineFailed("broken"))
    with pytest.raises(EngineFailed):
        await anext(joined(source.frames(), LONG_S))


async def test_a_source_that_was_cancelled_has_not_ended() -> None:
    source = Source()
    source.put(b"a", asyncio.CancelledError())
    messages = joined(source.frames(), 0.0)
    assert await anext(messages) == b"a"
    with pytest.raises(asyncio.CancelledError):
        await anext(messages)


async def test_a_slow_consumer_holds_the_source_back() -> None:
    source = Source()
    source.put(*[b"x"] * 50, None)
    messages = joined(source.frames(), LONG_S, max_frames=8)
    first = await anext(messages)
    await until_idle()
    assert source.num_taken <= len(first) + 8
    rest = [message async for message in messages]
    assert max(map(len, rest)) <= 8
    assert len(first) + sum(map(len, rest)) == 50


async def test_closing_joined_closes_the_source_and_its_task() -> None:
    source = Source()
    source.put(b"a")
    messages = joined(source.frames(), LONG_S)
    await anext(messages)
    await messages.aclose()
    assert source.is_closed
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_cancelling_the_consumer_closes_the_source() -> None:
    source = Source()

    async def consume() -> None:
        async for _ in joined(source.frames(), LONG_S):
            pass

    task = asyncio.create_task(consume())
    await until_idle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert source.is_closed
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_closing_while_the_buffer_is_full_leaves_nothing() -> None:
    source = Source()
    source.put(*[b"x"] * 50)
    messages = joined(source.frames(), LONG_S, max_frames=4)
    await anext(messages)
    await until_idle()
    await messages.aclose()
    assert source.is_closed
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_close_leaves_iterators_without_close_alone() -> None:
    class Plain:
        def __aiter__(self) -> AsyncIterator[int]:
            return self  # type: ignore[return-value]

        async def __anext__(self) -> int:
            return 1

    await close(Plain())  # type: ignore[arg-type]
