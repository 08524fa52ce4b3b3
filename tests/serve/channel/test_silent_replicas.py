"""A replica that is stopped: who waits for it is told in time, and calls go to another until it answers."""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections.abc import AsyncIterator

import pytest

from serve_app.attempts import Attempts
from serve_app.calls import Caller
from serve_app.channel.asked import Asked
from serve_app.channel.inbox import Inbox
from serve_app.errors import StreamLost
from tests.serve.channel.test_calls_by_channel import (
    Call,
    Method,
    Replica,
    context,
    ended,
    endless,
    never,
    read,
    two,
)

SILENCE_S = 0.1


@pytest.fixture
async def inbox() -> AsyncIterator[Inbox]:
    made = Inbox("a", "127.0.0.1", silence_s=SILENCE_S)
    yield made
    made.close()


class Two:
    """A deployment with two replicas and a handle to it, whose router likes the first better."""

    def __init__(self, second: Replica) -> None:
        self._replicas = {"first": Replica(two), "second": second}
        self.chosen: list[str] = []
        self.is_stopped = True  # the first
        self.never: list[Call] = []  # what it was asked meanwhile

    def options(self, **options: object) -> Two:
        return self

    @property
    def work_by_channel(self) -> Two:
        return self

    def remote(self, asked: Asked) -> Call:
        assert asked.route is not None
        name = next(one for one in ("first", "second") if not asked.route.is_silent(one))
        self.chosen.append(name)
        asked.route.goes_to(None)
        asked.route.goes_to(name)
        if name == "first" and self.is_stopped:
            self.never.append(Call(never()))
            return self.never[-1]
        return Method(self._replicas[name], "channel").remote(pickle.loads(pickle.dumps(asked)))


def caller(handle: Two, inbox: Inbox) -> Caller:
    return Caller(handle, "mock", inbox)  # type: ignore[arg-type]


async def test_what_a_stopped_replica_was_asked_is_asked_of_another(inbox: Inbox) -> None:
    handle = Two(Replica(two))
    asking = caller(handle, inbox)
    attempts = Attempts("mock")
    for _ in range(3):
        items = attempts.stream(lambda: asking.stream("work", context=context()))
        assert await read(items) == b"one two"
    assert handle.chosen == ["first", "second", "second", "second"]
    await asyncio.wait([handle.never[0].task])
    assert handle.never[0].task.cancelled()
    assert inbox.num_streams == 0


async def test_without_another_who_waits_is_told(inbox: Inbox) -> None:
    asking = caller(Two(Replica(two)), inbox)
    with pytest.raises(StreamLost, match=r"mock: the replica has not answered for 0\.1 s"):
        await read(asking.stream("work", context=context()))


async def test_one_that_answers_again_is_chosen_again(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = Two(Replica(two))
    asking = caller(handle, inbox)
    with pytest.raises(StreamLost):
        await read(asking.stream("work", context=context()))
    handle.is_stopped = False
    with monkeypatch.context() as patch:
        patch.setattr("serve_app.routing.silence.LEFT_OUT_S", 0.0)
        await read(asking.stream("work", context=context()))  # as if half a minute had gone
    assert await read(asking.stream("work", context=context())) == b"one two"
    assert handle.chosen == ["first", "first", "first"]


async def test_one_that_begins_has_all_the_time_of_the_request(inbox: Inbox) -> None:
    async def slow() -> AsyncIterator[bytes]:
        await asyncio.sleep(5 * SILENCE_S)
        yield b"at last"

    replica = Replica(slow)
    handle = Two(replica)
    handle.is_stopped = False
    handle._replicas["first"] = replica
    assert await read(caller(handle, inbox).stream("work", context=context())) == b"at last"
    await ended(replica)


async def test_a_call_that_waits_for_a_place_is_not_held_against_a_replica(inbox: Inbox) -> None:
    class Waiting(Two):
        def remote(self, asked: Asked) -> Call:
            assert asked.route is not None
            asked.route.goes_to("first")  # which has no place for it
            asked.route.goes_to(None)
            self.never.append(Call(never()))
            return self.never[-1]

    handle = Waiting(Replica(endless))
    reading = asyncio.create_task(read(caller(handle, inbox).stream("work", context=context())))
    await asyncio.sleep(5 * SILENCE_S)
    assert not reading.done()
    reading.cancel()
    await asyncio.wait([reading, handle.never[0].task])
    assert handle.never[0].task.cancelled()


async def test_a_router_in_another_thread_tells_the_callers_loop(inbox: Inbox) -> None:
    class Threaded(Two):
        def remote(self, asked: Asked) -> Call:
            async def choose() -> None:
                assert asked.route is not None
                asked.route.goes_to("first")

            chosen = threading.Thread(target=asyncio.run, args=(choose(),))
            chosen.start()
            chosen.join()
            self.never.append(Call(never()))
            return self.never[-1]

    with pytest.raises(StreamLost, match="has not answered"):
        await read(caller(Threaded(Replica(two)), inbox).stream("work", context=context()))
