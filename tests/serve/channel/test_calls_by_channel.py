"""A Caller whose streams come by the channel; the replica at the other end is in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from ray.exceptions import ActorUnavailableError
from ray.serve.exceptions import BackPressureError

from serve_app.calls import Caller
from serve_app.channel.address import ReplyTo
from serve_app.channel.asked import AskedTogether
from serve_app.channel.inbox import Inbox
from serve_app.channel.outbox import Outbox, StreamReset
from serve_app.errors import BadRequest, DeadlineExceeded, Overloaded, StreamLost
from serve_app.messages import Deadline, RequestContext
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
        self.num_asked: list[int] = []  # by call

    def options(self, **options: object) -> Replica:
        return self

    @property
    def work(self) -> Method:
        return Method(self, "plain")

    @property
    def work_by_channel(self) -> Method:
        return Method(self, "channel")

    async def plain(self, context: RequestContext) -> AsyncIterator[bytes]:
        async for item in self._make():
            yield item

    async def channel(self, asked: AskedTogether) -> AsyncIterator[bytes]:
        if self.fault is not None:
            raise self.fault
        self.num_asked.append(len(asked))
        await self.outbox.reach(asked[0].reply_to)
        await asyncio.gather(*(self._send(one.reply_to) for one in asked))
        for item in NO_ITEMS:
            yield item

    async def _send(self, reply_to: ReplyTo) -> None:
        try:
            await self.outbox.send_all(self._make(), reply_to)
        except StreamReset as exc:
            self.reset = exc.reason


class Method:
    def __init__(self, replica: Replica, way: str) -> None:
        self._replica = replica
        self._way = way

    def remote(self, *args: Any) -> Call:
        self._replica.ways.append(self._way)
        call = Call(getattr(self._replica, self._way)(*args))
        self._replica.calls.append(call)
        return call


class Call:
    """A streaming response: the replica works from the start on, not only when asked."""

    def __init__(self, items: AsyncIterator[bytes]) -> None:
        self._queue: asyncio.Queue[bytes | Exception] = asyncio.Queue()
        self.task = asyncio.create_task(self._run(items))

    async def _run(self, items: AsyncIterator[bytes]) -> None:
        try:
            async for item in items:
                self._queue.put_nowait(item)
            self._queue.put_nowait(StopAsyncIteration())
        except Exception as exc:  # noqa: BLE001 (handed to the caller)
            self._queue.put_nowait(exc)

    def cancel(self) -> None:
        self.task.cancel()

    def __aiter__(self) -> Call:
        return self

    async def __anext__(self) -> bytes:
        item = await self._queue.get()
        if isinstance(item, Exception):
            raise item
        return item


@pytest.fixture
async def inbox() -> AsyncIterator[Inbox]:
    made = Inbox("a", "127.0.0.1")
    yield made
    made.close()


def context(seconds: float = 60.0) -> RequestContext:
    return RequestContext("r", "t", Deadline.after(seconds))


def caller(replica: Replica, inbox: Inbox) -> Caller:
    return Caller(replica, "mock", inbox)  # type: ignore[arg-type]


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


# -------- streams that share a call


@pytest.fixture
def calls_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """All calls but the first wait for others, whatever their rate."""
    monkeypatch.setattr("serve_app.shared_calls.call_window_s", lambda rate: 0.05)


@pytest.mark.usefixtures("calls_wait")
async def test_streams_of_the_same_moment_share_a_call(inbox: Inbox) -> None:
    replica = Replica(two)
    asking = caller(replica, inbox)
    reading = (read(asking.stream("work", context=context())) for _ in range(40))
    assert await asyncio.gather(*reading) == [b"one two"] * 40
    assert replica.num_asked == [1, 16, 16, 7]
    assert inbox.num_streams == 0


async def test_few_streams_have_a_call_each(inbox: Inbox) -> None:
    replica = Replica(two)
    asking = caller(replica, inbox)
    await asyncio.gather(*(read(asking.stream("work", context=context())) for _ in range(14)))
    assert replica.num_asked == [1] * 14


@pytest.mark.usefixtures("calls_wait")
async def test_one_that_leaves_does_not_disturb_those_of_its_call(inbox: Inbox) -> None:
    replica = Replica(endless)
    asking = caller(replica, inbox)
    streams = [asking.stream("work", context=context()) for _ in range(4)]
    assert await asyncio.gather(*(anext(one) for one in streams)) == [b"first"] * 4
    await streams[1].aclose()
    assert inbox.num_streams == 3
    assert not any(call.task.done() for call in replica.calls[1:])
    for one in streams:
        await one.aclose()
    await ended(replica)
    assert inbox.num_streams == 0


@pytest.mark.usefixtures("calls_wait")
async def test_who_leaves_before_the_call_is_made_is_not_asked_for(inbox: Inbox) -> None:
    replica = Replica(two)
    asking = caller(replica, inbox)
    assert await read(asking.stream("work", context=context())) == b"one two"
    staying, leaving = (asyncio.create_task(read(asking.stream("work", context=context()))) for _ in range(2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == b"one two"
    assert replica.num_asked == [1, 1]


@pytest.mark.usefixtures("calls_wait")
async def test_a_call_that_nobody_waits_for_any_more_is_not_made(inbox: Inbox) -> None:
    replica = Replica(two)
    asking = caller(replica, inbox)
    assert await read(asking.stream("work", context=context())) == b"one two"
    leaving = asyncio.create_task(read(asking.stream("work", context=context())))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait([leaving])
    assert await read(asking.stream("work", context=context())) == b"one two"
    assert replica.num_asked == [1, 1]


@pytest.mark.usefixtures("calls_wait")
async def test_a_fault_of_a_call_is_that_of_all_its_streams(inbox: Inbox) -> None:
    replica = Replica(two)
    replica.fault = BackPressureError(1, 1)
    asking = caller(replica, inbox)
    outcomes = await asyncio.gather(
        *(read(asking.stream("work", context=context())) for _ in range(5)), return_exceptions=True
    )
    assert [outcome.__class__ for outcome in outcomes] == [Overloaded] * 5
    assert len(replica.calls) == 2
    assert inbox.num_streams == 0


@pytest.mark.usefixtures("calls_wait")
async def test_one_that_leaves_while_the_call_is_on_its_way_is_told_when_it_begins(inbox: Inbox) -> None:
    replica = Replica(endless)
    asking = caller(replica, inbox)
    first = asking.stream("work", context=context())
    assert await anext(first) == b"first"
    connecting = replica.outbox.reach
    may_go_on = asyncio.Event()

    async def late(reply_to: ReplyTo) -> None:
        await may_go_on.wait()
        await connecting(reply_to)

    replica.outbox.reach = late  # type: ignore[method-assign]
    staying, leaving = (asking.stream("work", context=context()) for _ in range(2))
    waiting = [asyncio.create_task(anext(one)) for one in (staying, leaving)]  # type: ignore[arg-type]
    async with asyncio.timeout(10):
        while len(replica.num_asked) < 2:  # noqa: ASYNC110 (nothing to wait on)
            await asyncio.sleep(0.001)
    waiting[1].cancel()
    await asyncio.wait([waiting[1]])
    may_go_on.set()
    assert await waiting[0] == b"first"
    async with asyncio.timeout(10):
        while replica.reset is None:  # noqa: ASYNC110 (nothing to wait on)
            await asyncio.sleep(0.001)
    assert replica.reset == "caller_left"
    await staying.aclose()
    await first.aclose()
    await ended(replica)
