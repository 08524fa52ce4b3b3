"""A Caller whose streams come by the channel; the replica at the other end is in this process."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from ray.exceptions import ActorUnavailableError
from ray.serve.context import _get_serve_request_context
from ray.serve.exceptions import BackPressureError

from serve_app.calls import Caller
from serve_app.channel.asked import Asked
from serve_app.channel.frames import WINDOW_BYTES
from serve_app.channel.inbox import Inbox
from serve_app.channel.outbox import Outbox, StreamReset
from serve_app.channel.values import Values, encode
from serve_app.errors import BadRequest, DeadlineExceeded, EngineFailed, Overloaded, StreamLost, Unavailable
from serve_app.messages import Deadline, RequestContext, Scores, SearchResult
from serve_app.streams import NO_ITEMS


class Replica:
    """A deployment with one replica, and a handle to it."""

    def __init__(self, make: Callable[[], AsyncIterator[bytes]], *, node: str = "a") -> None:
        self._make = make
        self.outbox = Outbox(node)
        self.fault: Exception | None = None  # of the call itself
        self.reset: str | None = None
        self.ways: list[str] = []
        self.calls: list[Call] = []
        self.asked: list[Asked] = []
        self.contexts: list[Any] = []  # Serve's, of the calls

    def options(self, **options: object) -> Replica:
        return self

    @property
    def work(self) -> Method:
        return Method(self, "plain")

    @property
    def work_by_channel(self) -> Method:
        return Method(self, "channel")

    @property
    def answer(self) -> Document:
        return Document(self)

    answer_by_channel = work_by_channel

    async def plain(self, context: RequestContext) -> AsyncIterator[bytes]:
        async for item in self._make():
            yield item

    async def channel(self, asked: Asked) -> AsyncIterator[bytes]:
        if self.fault is not None:
            raise self.fault
        await self.outbox.send_call(asked, self._send)
        for item in NO_ITEMS:
            yield item

    async def _send(self, asked: Asked) -> None:
        self.asked.append(asked)
        try:
            await self.outbox.send_all(self._make(), asked.reply_to)
        except StreamReset as exc:
            self.reset = exc.reason


class Method:
    def __init__(self, replica: Replica, way: str) -> None:
        self._replica = replica
        self._way = way

    def remote(self, *args: Any) -> Call:
        self._replica.ways.append(self._way)
        self._replica.contexts.append(_get_serve_request_context())
        call = Call(getattr(self._replica, self._way)(*args))
        self._replica.calls.append(call)
        return call


class Document:
    """A method that returns all of it."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica

    async def remote(self, context: RequestContext, *args: Any) -> bytes:
        self._replica.ways.append("document")
        return await read(self._replica.plain(context))


class Call:
    """A streaming response: the replica works from the start on, not only when asked."""

    def __init__(self, items: AsyncIterator[bytes]) -> None:
        self.queue: asyncio.Queue[bytes | BaseException] = asyncio.Queue()
        self.task = asyncio.create_task(self._run(items))

    async def _run(self, items: AsyncIterator[bytes]) -> None:
        try:
            async for item in items:
                self.queue.put_nowait(item)
            self.queue.put_nowait(StopAsyncIteration())
        except Exception as exc:  # noqa: BLE001 (handed to the caller)
            self.queue.put_nowait(exc)

    def cancel(self) -> None:
        self.task.cancel()

    def __aiter__(self) -> Call:
        return self

    async def __anext__(self) -> bytes:
        item = await self.queue.get()
        if isinstance(item, BaseException):
            raise item
        return item


@pytest.fixture
async def inbox() -> AsyncIterator[Inbox]:
    made = Inbox("a", "127.0.0.1")
    yield made
    made.close()


def context(seconds: float = 60.0) -> RequestContext:
    return RequestContext("r", "t", Deadline.after(seconds))


def caller(replica: Replica, inbox: Inbox, own_calls_per_s: float = math.inf) -> Caller:
    return Caller(replica, "mock", inbox, own_calls_per_s=own_calls_per_s)  # type: ignore[arg-type]


async def two() -> AsyncIterator[bytes]:
    yield b"one "
    yield b"two"


async def endless() -> AsyncIterator[bytes]:
    yield b"first"
    await asyncio.Event().wait()


async def never() -> AsyncIterator[bytes]:
    await asyncio.Event().wait()
    yield b"never"


async def read(stream: AsyncIterator[bytes]) -> bytes:
    return b"".join([data async for data in stream])


async def ended(replica: Replica) -> None:
    async with asyncio.timeout(10):
        await asyncio.wait([call.task for call in replica.calls])


async def test_the_items_come_by_the_channel_and_the_call_has_none(inbox: Inbox) -> None:
    replica = Replica(two)
    assert await read(caller(replica, inbox).stream("work", context=context())) == b"one two"
    assert replica.ways == ["channel"]
    assert inbox.num_streams == 0


async def test_an_engines_refusal_arrives_as_itself(inbox: Inbox) -> None:
    async def refuse() -> AsyncIterator[bytes]:
        for item in NO_ITEMS:
            yield item
        raise BadRequest("no", "seed")

    with pytest.raises(BadRequest) as caught:
        await read(caller(Replica(refuse), inbox).stream("work", context=context()))
    assert caught.value.param == "seed"


@pytest.mark.parametrize(
    ("fault", "expected"),
    [(BackPressureError(1, 1), Overloaded), (ActorUnavailableError("gone", b"x" * 16), StreamLost)],
)
async def test_a_fault_of_the_call_is_the_streams(
    inbox: Inbox, fault: Exception, expected: type[Exception]
) -> None:
    replica = Replica(two)
    replica.fault = fault
    with pytest.raises(expected):
        await read(caller(replica, inbox).stream("work", context=context()))
    assert inbox.num_streams == 0


async def test_a_fault_that_is_not_rays_is_logged(inbox: Inbox, caplog: pytest.LogCaptureFixture) -> None:
    replica = Replica(two)
    replica.fault = KeyError("a fault of ours")
    with pytest.raises(Unavailable):
        await read(caller(replica, inbox).stream("work", context=context()))
    assert "not Ray's" in caplog.text
    assert "a fault of ours" in caplog.text


async def test_a_caller_that_leaves_stops_the_replica(inbox: Inbox) -> None:
    replica = Replica(endless)
    stream = caller(replica, inbox).stream("work", context=context())
    assert await anext(stream) == b"first"
    await stream.aclose()
    await ended(replica)
    assert replica.reset == "caller_left"


async def test_a_deadline_stops_the_replica_and_names_the_stage(inbox: Inbox) -> None:
    replica = Replica(endless)
    stream = caller(replica, inbox).stream("work", context=context(0.3))
    with pytest.raises(DeadlineExceeded) as caught:
        await read(stream)
    assert caught.value.stage == "mock"
    await ended(replica)
    assert replica.reset == "deadline"


async def test_a_caller_that_leaves_before_the_replica_answers_stops_it(inbox: Inbox) -> None:
    replica = Replica(never)
    reading = asyncio.create_task(read(caller(replica, inbox).stream("work", context=context())))
    async with asyncio.timeout(10):
        while not replica.calls:  # noqa: ASYNC110 (nothing to wait on)
            await asyncio.sleep(0.001)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await ended(replica)
    assert inbox.num_streams == 0


async def test_a_replica_that_dies_mid_stream_is_told(inbox: Inbox) -> None:
    replica = Replica(endless)
    stream = caller(replica, inbox).stream("work", context=context())
    assert await anext(stream) == b"first"
    await replica.outbox.close()
    with pytest.raises(StreamLost):
        await anext(stream)
    await ended(replica)


async def test_a_replica_of_another_node_takes_serves_way_once(inbox: Inbox) -> None:
    replica = Replica(two, node="b")
    asking = caller(replica, inbox)
    assert await read(asking.stream("work", context=context())) == b"one two"
    assert await read(asking.stream("work", context=context())) == b"one two"
    assert replica.ways == ["channel", "plain", "channel"]
    await replica.outbox.close()


async def test_a_document_comes_by_the_channel_in_one_piece(inbox: Inbox) -> None:
    replica = Replica(two)
    asking = caller(replica, inbox)
    assert await asking.document("work", context=context()) == b"one two"
    assert replica.ways == ["channel"]


async def test_a_document_of_another_node_takes_serves_way_once(inbox: Inbox) -> None:
    replica = Replica(two, node="b")
    asking = caller(replica, inbox)
    assert await asking.document("answer", context=context()) == b"one two"
    assert await asking.document("answer", context=context()) == b"one two"
    assert replica.ways == ["channel", "document", "channel"]
    await replica.outbox.close()


async def test_who_does_not_wait_for_a_document_stops_the_replica(inbox: Inbox) -> None:
    replica = Replica(endless)
    waiting = asyncio.create_task(caller(replica, inbox).document("work", context=context()))
    async with asyncio.timeout(10):
        while not inbox.num_links:  # noqa: ASYNC110 (nothing to wait on)
            await asyncio.sleep(0.001)
    waiting.cancel()
    await ended(replica)
    assert inbox.num_streams == 0


SCORES = Scores((0.25, 1.0), 30)


async def scores() -> AsyncIterator[bytes]:
    yield encode(SCORES)


async def test_a_value_comes_by_the_channel(inbox: Inbox) -> None:
    replica = Replica(scores)
    assert await caller(replica, inbox).value("work", Values(Scores), context=context()) == SCORES
    assert replica.ways == ["channel"]


@pytest.mark.parametrize("make", [two, scores])
async def test_a_value_that_cannot_be_read_is_a_fault_of_the_replica(
    inbox: Inbox, make: Callable[[], AsyncIterator[bytes]]
) -> None:
    values: Values[Any] = Values(SearchResult)
    with pytest.raises(EngineFailed, match="mock sent what cannot be read"):
        await caller(Replica(make), inbox).value("work", values, context=context())


async def test_a_value_of_another_node_takes_serves_way_once(inbox: Inbox) -> None:
    replica = Replica(scores, node="b")
    asking = caller(replica, inbox)
    # The plain method's own value, which Serve pickles.
    assert await asking.value("answer", Values(Scores), context=context()) == encode(SCORES)
    assert await asking.value("answer", Values(Scores), context=context()) == SCORES
    assert replica.ways == ["channel", "document", "channel"]
    await replica.outbox.close()


async def test_without_a_channel_a_value_takes_serves_way() -> None:
    replica = Replica(scores)
    asking = Caller(replica, "mock")  # type: ignore[arg-type]
    assert await asking.value("answer", Values(Scores), context=context()) == encode(SCORES)
    assert replica.ways == ["document"]


async def test_who_does_not_wait_for_a_value_stops_the_replica_and_not_the_call(inbox: Inbox) -> None:
    has_begun = asyncio.Event()

    async def large() -> AsyncIterator[bytes]:
        yield bytes(WINDOW_BYTES)
        yield b"goes out when the caller has read the first"
        has_begun.set()
        await asyncio.Event().wait()

    replica = Replica(large)
    asking = caller(replica, inbox)
    waiting = asyncio.create_task(asking.value("work", Values(Scores), context=context()))
    async with asyncio.timeout(10):
        await has_begun.wait()
    waiting.cancel()
    await ended(replica)
    assert replica.reset == "caller_left"
    assert not any(call.task.cancelled() for call in replica.calls)
