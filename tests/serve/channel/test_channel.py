"""Both ends of the channel over real sockets, in one loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from serve_app.channel.address import ReplyTo
from serve_app.channel.connecting import ChannelUnavailable
from serve_app.channel.frames import WINDOW_BYTES
from serve_app.channel.inbox import Inbox
from serve_app.channel.incoming import Incoming
from serve_app.channel.outbox import Outbox, StreamReset
from serve_app.errors import BadRequest, EngineFailed, StreamLost


class Source:
    """What an engine would make; remembers how far it came and that it was closed."""

    def __init__(self, items: list[bytes], error: Exception | None = None, *, holds_at: int = -1) -> None:
        self._items = items
        self._error = error
        self._holds_at = holds_at
        self.num_made = 0
        self.is_closed = False

    async def __call__(self) -> AsyncIterator[bytes]:
        try:
            for index, item in enumerate(self._items):
                if index == self._holds_at:
                    await asyncio.Event().wait()
                self.num_made += 1
                yield item
                await asyncio.sleep(0)
            if self._error is not None:
                raise self._error
        finally:
            self.is_closed = True


class Pair:
    """A caller's inbox and a replica's outbox on the same node, or on two."""

    def __init__(self, *, sender_node: str = "a") -> None:
        self.inbox = Inbox("a", "127.0.0.1", silence_s=30.0)
        self.outbox = Outbox(sender_node)
        self._sending: list[asyncio.Task[object]] = []

    async def stream(self, source: Source) -> tuple[Incoming, asyncio.Task[object]]:
        incoming, reply_to = await self.inbox.open()
        return incoming, self.send(source, reply_to)

    def send(self, source: Source, reply_to: ReplyTo) -> asyncio.Task[object]:
        sending = asyncio.create_task(self.outbox.send_all(source(), reply_to))
        self._sending.append(sending)
        return sending

    async def close(self) -> None:
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
        await self.outbox.close()
        self.inbox.close()


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    made = Pair()
    yield made
    await made.close()


@pytest.fixture
async def far_pair() -> AsyncIterator[Pair]:
    made = Pair(sender_node="b")
    await made.inbox.listen_for_other_nodes()
    yield made
    await made.close()


def items(name: str, count: int = 40) -> list[bytes]:
    return [f"{name}:{index} ".encode() for index in range(count)]


async def read_all(incoming: Incoming) -> bytes:
    data = b"".join([piece async for piece in incoming])
    incoming.close()
    return data


async def until(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_true():  # noqa: ASYNC110 (nothing to wait on)
            await asyncio.sleep(0.005)


async def test_a_stream_arrives_whole_and_in_order(pair: Pair) -> None:
    incoming, sending = await pair.stream(Source(items("x")))
    assert await read_all(incoming) == b"".join(items("x"))
    assert await sending is None
    assert pair.inbox.num_streams == 0


async def test_many_streams_share_one_connection_and_do_not_mix(pair: Pair) -> None:
    streams = [await pair.stream(Source(items(f"s{index}"))) for index in range(50)]
    texts = await asyncio.gather(*(read_all(incoming) for incoming, _ in streams))
    assert texts == [b"".join(items(f"s{index}")) for index in range(50)]
    assert pair.inbox.num_links == pair.outbox.num_links == 1


async def test_a_long_message_arrives_whole(pair: Pair) -> None:
    big = bytes(range(256)) * 8192  # 2 MiB, eight windows
    incoming, _ = await pair.stream(Source([b"first", big, b"last"]))
    assert await read_all(incoming) == b"first" + big + b"last"


async def test_streams_of_other_nodes_come_by_tls(far_pair: Pair) -> None:
    incoming, sending = await far_pair.stream(Source(items("far")))
    assert await read_all(incoming) == b"".join(items("far"))
    assert await sending is None


async def test_an_error_arrives_as_itself_after_what_came_before(pair: Pair) -> None:
    incoming, sending = await pair.stream(Source([b"a", b"b"], BadRequest("no", "seed")))
    told = await sending
    assert isinstance(told, BadRequest)
    data, error = b"", None
    try:
        async for piece in incoming:
            data += piece
    except BadRequest as exc:
        error = exc
    assert (data, error and error.param) == (b"ab", "seed")


async def test_a_fault_that_is_not_ours_is_told_and_raised(pair: Pair) -> None:
    incoming, sending = await pair.stream(Source([b"a"], KeyError("weights")))
    with pytest.raises(EngineFailed, match="KeyError"):
        await read_all(incoming)
    with pytest.raises(KeyError):
        await sending


async def test_a_reader_that_leaves_stops_the_engine(pair: Pair) -> None:
    source = Source(items("x"), holds_at=3)
    incoming, sending = await pair.stream(source)
    await anext(incoming)
    incoming.close("caller_left")
    with pytest.raises(StreamReset) as caught:
        await sending
    assert caught.value.reason == "caller_left"
    assert source.is_closed


async def test_a_reader_that_leaves_before_anything_was_made_stops_the_engine_too(pair: Pair) -> None:
    source = Source(items("x"), holds_at=0)
    incoming, sending = await pair.stream(source)
    await until(lambda: incoming.has_begun)
    incoming.close("deadline")
    with pytest.raises(StreamReset):
        await sending
    assert source.num_made == 0


async def test_a_stream_that_nobody_waits_for_is_stopped(pair: Pair) -> None:
    incoming, reply_to = await pair.inbox.open()
    incoming.close()
    sending = pair.send(Source(items("x"), holds_at=20), reply_to)
    with pytest.raises(StreamReset, match="caller_left"):
        await sending


async def test_a_slow_reader_holds_its_engine_and_nobody_elses(pair: Pair) -> None:
    piece = bytes(16384)
    source = Source([piece] * 400)
    slow, _ = await pair.stream(source)
    await anext(slow)
    other, _ = await pair.stream(Source([piece] * 400))
    assert len(await read_all(other)) == 400 * len(piece)
    most = 2 * (WINDOW_BYTES // len(piece) + 1)
    assert source.num_made <= most, "the engine went on although nobody read"
    assert len(await read_all(slow)) < 400 * len(piece)  # without what was read above
    assert source.num_made == 400


async def test_a_sender_that_is_cancelled_is_told_of(pair: Pair) -> None:
    incoming, sending = await pair.stream(Source(items("x"), holds_at=2))
    await anext(incoming)
    sending.cancel()
    with pytest.raises(StreamLost, match="stopped"):
        await read_all(incoming)


async def test_a_cancelled_stream_leaves_the_others_alone(pair: Pair) -> None:
    _, first = await pair.stream(Source(items("x"), holds_at=2))
    incoming, _ = await pair.stream(Source(items("y")))
    first.cancel()
    assert await read_all(incoming) == b"".join(items("y"))


async def test_a_connection_that_breaks_ends_its_streams_on_both_sides(pair: Pair) -> None:
    source = Source(items("x"), holds_at=2)
    incoming, sending = await pair.stream(source)
    await anext(incoming)
    pair.inbox.close()
    with pytest.raises(StreamLost):
        await read_all(incoming)
    with pytest.raises(StreamReset, match="connection_lost"):
        await sending
    assert source.is_closed


async def test_a_caller_that_is_gone_costs_no_work(pair: Pair) -> None:
    _, reply_to = await pair.inbox.open()
    pair.inbox.close()
    source = Source(items("x"))
    with pytest.raises(ChannelUnavailable):
        await pair.send(source, reply_to)
    assert source.num_made == 0


async def test_a_new_connection_replaces_one_that_broke(pair: Pair) -> None:
    incoming, _ = await pair.stream(Source([b"one"]))
    assert await read_all(incoming) == b"one"
    await pair.outbox.close()
    await until(lambda: pair.inbox.num_links == 0)
    incoming, _ = await pair.stream(Source([b"two"]))
    assert await read_all(incoming) == b"two"


async def test_no_port_is_open_before_a_call_from_another_node() -> None:
    pair = Pair(sender_node="b")
    incoming, sending = await pair.stream(Source([b"x"]))
    with pytest.raises(ChannelUnavailable, match="other nodes"):
        await sending
    incoming.close()
    await pair.inbox.listen_for_other_nodes()
    incoming, _ = await pair.stream(Source([b"x"]))
    assert await read_all(incoming) == b"x"
    await pair.close()
