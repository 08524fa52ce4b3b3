"""What every replica does around the work of a request. Ray is asked nothing, the channel is real."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable

import pytest

from configs.schema import ScalingConfig
from serve_app import replica as module
from serve_app.channel.asked import Asked
from serve_app.channel.inbox import Inbox
from serve_app.channel.incoming import Incoming
from serve_app.draining import Draining
from serve_app.errors import DeadlineExceeded, EngineFailed, Overloaded, StreamLost
from serve_app.messages import Deadline, RequestContext
from serve_app.replica import Replica
from serve_app.telemetry.metrics import Metric


class Counts:
    """Instruments that only remember."""

    def __init__(self) -> None:
        self.counted: Counter[tuple[str, str]] = Counter()
        self.held: dict[str, float] = {}

    def put(self, metric: Metric, value: float, **labels: str) -> None:
        self.held[metric.name] = value

    def count(self, metric: Metric, amount: float = 1.0, **labels: str) -> None:
        self.counted[metric.name, labels["reason"]] += 1


class State:
    """A replica that Serve can begin to drain."""

    def __init__(self) -> None:
        self.is_drained = False

    def is_shutting_down(self) -> bool:
        return self.is_drained

    def grace_s(self) -> float:
        return 1.2


class Setting:
    """A replica with one slot and one place in its queue, and a caller on the same node."""

    def __init__(self) -> None:
        self.inbox = Inbox("here", "127.0.0.1")
        self.state = State()
        scaling = ScalingConfig(max_ongoing_requests=1, max_queued_requests=1)
        draining = Draining(lambda: self.state, look_s=0.01)
        self.replica = Replica("mock", scaling, draining=draining)
        self.counts: Counts = self.replica._instruments  # type: ignore[assignment]
        self._sending: list[asyncio.Task[None]] = []

    async def send(
        self, make: Callable[[], AsyncIterator[bytes]], seconds: float = 60.0
    ) -> tuple[Incoming, asyncio.Task[None]]:
        incoming, reply_to = await self.inbox.open()
        context = RequestContext("r", "t", Deadline.after(seconds))
        asked = Asked((), context, reply_to)
        sending = asyncio.create_task(self.replica.send(asked, lambda context: make()))
        self._sending.append(sending)
        return incoming, sending

    async def close(self) -> None:
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
        await self.replica.close()
        self.inbox.close()


@pytest.fixture
async def setting(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Setting]:
    monkeypatch.setattr(module, "_node_id", lambda: "here")
    monkeypatch.setattr(module, "Instruments", Counts)
    made = Setting()
    yield made
    await made.close()


async def two() -> AsyncIterator[bytes]:
    yield b"one "
    yield b"two"


async def endless() -> AsyncIterator[bytes]:
    yield b"first"
    await asyncio.Event().wait()


async def read(incoming: Incoming) -> bytes:
    data = b"".join([piece async for piece in incoming])
    incoming.close()
    return data


async def test_a_stream_has_a_slot_and_gives_it_back(setting: Setting) -> None:
    for _ in range(3):
        incoming, sending = await setting.send(two)
        assert await read(incoming) == b"one two"
        await sending
    assert setting.replica.autoscaling_stats()["running"] == 0


async def test_others_wait_and_who_finds_no_place_is_told_when_to_come(setting: Setting) -> None:
    first, _ = await setting.send(endless)
    assert await anext(first) == b"first"
    second, _ = await setting.send(two)
    third, _ = await setting.send(two)
    with pytest.raises(Overloaded) as caught:
        await read(third)
    assert caught.value.retry_after_s >= 1
    stats = setting.replica.autoscaling_stats()
    assert (stats["running"], stats["queued"]) == (1, 1)
    first.close("caller_left")
    assert await read(second) == b"one two"
    assert setting.counts.counted == {
        ("requests_refused_total", "overloaded"): 1,
        ("requests_cancelled_total", "caller_left"): 1,
    }


async def test_the_policy_is_told_of_the_tokens_that_wait(setting: Setting) -> None:
    first, _ = await setting.send(endless)
    await anext(first)
    waiting = asyncio.create_task(_work(setting.replica, 700))
    await asyncio.sleep(0)
    assert setting.replica.autoscaling_stats()["queued_tokens"] == 700
    first.close("caller_left")
    await waiting
    assert setting.replica.autoscaling_stats()["queued_tokens"] == 0


async def _work(replica: Replica, num_tokens: int) -> None:
    async with replica.working(RequestContext("r", "t", Deadline.after(60.0)), lambda: num_tokens):
        pass


async def test_what_it_holds_is_told(setting: Setting) -> None:
    first, _ = await setting.send(endless)
    await anext(first)
    held = {metric.name: value for metric, value in setting.replica._held()}
    assert held == {
        "requests_running": 1,
        "requests_queued": 0,
        "requests_oldest_queued_seconds": 0.0,
        "channel_streams_sent": 1,
        "channel_streams_received": 0,
        "channel_links": 1,
    }
    assert setting.counts.held["requests_running"] == 0  # as it was at the start
    assert setting.counts.held["event_loop_tasks"] >= 1


async def test_a_request_whose_time_ends_in_the_queue_is_never_worked_on(setting: Setting) -> None:
    first, _ = await setting.send(endless)
    await anext(first)
    made = False

    async def late() -> AsyncIterator[bytes]:
        nonlocal made
        made = True
        yield b"late"

    incoming, _ = await setting.send(late, seconds=0.2)
    with pytest.raises(DeadlineExceeded) as caught:
        await read(incoming)
    assert caught.value.stage == "queue of mock"
    first.close()
    assert not made


async def test_an_engine_that_fails_gives_its_slot_back(setting: Setting) -> None:
    async def fails() -> AsyncIterator[bytes]:
        yield b"half"
        raise EngineFailed("out of memory")

    incoming, _ = await setting.send(fails)
    with pytest.raises(EngineFailed, match="memory"):
        await read(incoming)
    incoming, _ = await setting.send(two)
    assert await read(incoming) == b"one two"


async def test_streams_that_outlive_the_grace_time_are_told_so(setting: Setting) -> None:
    incoming, sending = await setting.send(endless)
    assert await anext(incoming) == b"first"
    setting.state.is_drained = True
    async with asyncio.timeout(10):
        with pytest.raises(StreamLost, match="being replaced"):
            await anext(incoming)
        await sending
    assert setting.counts.counted["requests_cancelled_total", "replaced"] == 1
    assert setting.replica.autoscaling_stats()["running"] == 0
