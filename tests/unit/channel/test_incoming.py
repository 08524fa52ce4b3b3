from __future__ import annotations

import asyncio

import pytest

from serve_app.channel.frames import WINDOW_BYTES, BadFrame
from serve_app.channel.incoming import MAX_UNREAD_BYTES, Incoming
from serve_app.errors import DeadlineExceeded, StreamLost


class FakeLink:
    def __init__(self) -> None:
        self.credits: list[int] = []
        self.resets: list[str] = []

    def send_credit(self, stream_id: int, num_bytes: int) -> None:
        self.credits.append(num_bytes)

    def send_reset(self, stream_id: int, reason: str) -> None:
        self.resets.append(reason)


def bound() -> tuple[Incoming, FakeLink]:
    stream, link = Incoming(1, lambda _: None), FakeLink()
    assert stream.bind(link)
    return stream, link


async def rest(stream: Incoming) -> bytes:
    return b"".join([data async for data in stream])


async def test_what_came_together_is_read_together() -> None:
    stream, _ = bound()
    for data in (b"a", b"b", b"", b"c"):
        stream.put(data)
    assert await anext(stream) == b"abc"
    stream.end()
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_a_reader_that_waits_is_woken() -> None:
    stream, _ = bound()
    reading = asyncio.create_task(rest(stream))
    await asyncio.sleep(0)
    stream.put(b"one ")
    await asyncio.sleep(0)
    stream.put(b"two")
    stream.end()
    assert await reading == b"one two"


async def test_an_error_comes_after_the_data_before_it() -> None:
    stream, _ = bound()
    stream.put(b"half")
    stream.fail(StreamLost("gone"))
    stream.fail(DeadlineExceeded("later and not told"))
    assert await anext(stream) == b"half"
    with pytest.raises(StreamLost, match="gone"):
        await anext(stream)


async def test_credit_returns_as_the_reader_reads_and_not_before() -> None:
    stream, link = bound()
    stream.put(bytes(WINDOW_BYTES))
    assert link.credits == []
    await anext(stream)
    assert link.credits == [WINDOW_BYTES]
    stream.put(b"a little")
    await anext(stream)
    assert link.credits == [WINDOW_BYTES]


async def test_a_sender_that_ignores_its_window_is_at_fault() -> None:
    stream, _ = bound()
    stream.put(bytes(MAX_UNREAD_BYTES))
    with pytest.raises(BadFrame, match="more than it may"):
        stream.put(b"x")


async def test_who_stops_reading_tells_the_sender_once() -> None:
    stream, link = bound()
    stream.close("caller_left")
    stream.close("caller_left")
    assert link.resets == ["caller_left"]


async def test_a_sender_that_has_ended_is_told_nothing() -> None:
    stream, link = bound()
    stream.end()
    stream.close("caller_left")
    assert link.resets == []


async def test_giving_up_tells_both_sides() -> None:
    stream, link = bound()
    stream.give_up(DeadlineExceeded("over", "mock"), "deadline")
    assert link.resets == ["deadline"]
    with pytest.raises(DeadlineExceeded):
        await anext(stream)


async def test_a_stream_belongs_to_the_connection_that_brought_it_first() -> None:
    stream, link = bound()
    assert stream.bind(link)
    assert not stream.bind(FakeLink())


async def test_a_closed_stream_is_forgotten_and_ignores_what_comes() -> None:
    forgotten: list[int] = []
    stream = Incoming(9, forgotten.append)
    stream.close()
    stream.put(b"late")
    assert forgotten == [9]
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
