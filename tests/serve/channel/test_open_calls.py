"""Streams that are asked for by a connection that is there, beside the few that have a call of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable

import pytest
from ray.serve.context import _set_request_context

from serve_app.calls import Caller
from serve_app.channel.inbox import Inbox
from serve_app.errors import BadRequest, DeadlineExceeded, Overloaded, StreamLost
from serve_app.messages import AgentQuestion, Deadline, Endpoint, Priority, RequestContext
from serve_app.streams import NO_ITEMS
from tests.serve.channel.test_calls_by_channel import Replica, caller, ended, endless, read, two

BODY = {"messages": [{"role": "user", "content": "œuf \ud83e\udd5a"[:4]}], "temperature": 0.5, "n": 1}


@pytest.fixture
async def inbox() -> AsyncIterator[Inbox]:
    made = Inbox("a", "127.0.0.1")
    yield made
    made.close()


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where there are many calls: who can join one joins."""
    monkeypatch.setattr("serve_app.open_calls.CALL_EVERY_S", float("inf"))
    monkeypatch.setattr("serve_app.open_calls.TAKES_FOR_S", float("inf"))


def context(seconds: float = 60.0) -> RequestContext:
    return RequestContext("r", "t", Deadline.after(seconds), Priority.BATCH, "00-trace", 2.0)


def ask(asking: Caller, seconds: float = 60.0) -> AsyncGenerator[bytes]:
    return asking.stream("work", Endpoint.CHAT, BODY, context=context(seconds))


async def begun(replica: Replica, inbox: Inbox) -> tuple[Caller, AsyncGenerator[bytes]]:
    """A caller, and a stream of its that runs in a call of its own."""
    asking = caller(replica, inbox, own_calls_per_s=0.0)
    running = ask(asking)
    assert await anext(running) == b"first"
    return asking, running


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 (nothing to wait on)
            await asyncio.sleep(0.001)


@pytest.mark.usefixtures("many")
async def test_a_running_call_takes_streams_as_they_were_asked(inbox: Inbox) -> None:
    replica = Replica(endless)
    asking, running = await begun(replica, inbox)
    others = [ask(asking, 7.0) for _ in range(3)]
    assert [await anext(one) for one in others] == [b"first"] * 3
    assert replica.ways == ["channel"]
    taken = replica.asked[1]
    assert taken.args == (Endpoint.CHAT, BODY)
    assert isinstance(taken.args[0], Endpoint)
    assert 6.0 < taken.context.deadline.remaining_s() <= 7.0
    assert (taken.context.request_id, taken.context.tenant) == ("r", "t")
    assert (taken.context.priority, taken.context.traceparent, taken.context.weight) == (
        Priority.BATCH, "00-trace", 2.0,
    )  # fmt: skip
    for one in (running, *others):
        await one.aclose()
    await ended(replica)
    assert inbox.num_streams == 0


@pytest.mark.usefixtures("many")
async def test_a_question_to_an_agent_joins_a_running_call(inbox: Inbox) -> None:
    replica = Replica(endless)
    asking = caller(replica, inbox, own_calls_per_s=0.0)
    questions = [
        AgentQuestion("one"),
        AgentQuestion("two", ({"role": "user", "content": "zero"},), session_id="s"),
    ]
    asked = [asking.stream("work", question, context=context()) for question in questions]
    assert [await anext(one) for one in asked] == [b"first"] * 2
    assert replica.ways == ["channel"]
    assert [one.args for one in replica.asked] == [(question,) for question in questions]
    for one in asked:
        await one.aclose()
    await ended(replica)


async def test_few_streams_have_a_call_each(inbox: Inbox) -> None:
    replica = Replica(endless)
    asking = caller(replica, inbox, own_calls_per_s=100.0)
    streams = [ask(asking) for _ in range(15)]
    await asyncio.gather(*(anext(one) for one in streams))
    assert replica.ways == ["channel"] * 15
    for one in streams:
        await one.aclose()
    await ended(replica)


@pytest.mark.usefixtures("many")
async def test_each_has_a_call_where_no_limit_is_set(inbox: Inbox) -> None:
    replica = Replica(endless)
    asking = caller(replica, inbox)
    streams = [ask(asking) for _ in range(3)]
    for one in streams:
        await anext(one)
    assert replica.ways == ["channel"] * 3
    for one in streams:
        await one.aclose()
    await ended(replica)


@pytest.mark.usefixtures("many")
async def test_the_call_ends_with_the_last_of_its_streams(inbox: Inbox) -> None:
    replica = Replica(endless)
    asking, running = await begun(replica, inbox)
    other = ask(asking)
    await anext(other)
    await running.aclose()
    await until(lambda: replica.outbox.num_streams == 1)
    assert not replica.calls[0].task.done()
    await other.aclose()
    await ended(replica)
    assert replica.reset == "caller_left"


@pytest.mark.usefixtures("many")
async def test_a_call_that_is_over_by_then_is_replaced_by_one_of_its_own(inbox: Inbox) -> None:
    replica = Replica(endless)
    asking, running = await begun(replica, inbox)
    [(link, calls)] = [(task.result(), task.result()._calls) for task in replica.outbox._links.values()]
    calls.clear()
    other = ask(asking)
    assert await anext(other) == b"first"
    assert replica.ways == ["channel", "channel"]
    calls[1] = link  # for `taking` to take away
    await other.aclose()
    await running.aclose()
    await ended(replica)


@pytest.mark.usefixtures("many")
async def test_what_was_never_begun_is_asked_for_again(inbox: Inbox) -> None:
    def cancelled(_: object) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(asyncio.sleep(60))
        task.cancel()
        return task

    replica = Replica(endless)
    asking, running = await begun(replica, inbox)
    [calls] = [task.result()._calls for task in replica.outbox._links.values()]
    [call_id] = calls
    take, calls[call_id] = calls[call_id], cancelled
    other = ask(asking)
    assert await anext(other) == b"first"
    assert replica.ways == ["channel", "channel"]
    calls[call_id] = take
    await other.aclose()
    await running.aclose()
    await ended(replica)


@pytest.mark.usefixtures("many")
async def test_a_call_that_is_cancelled_by_others_ends_its_streams(inbox: Inbox) -> None:
    replica = Replica(endless)
    asking, running = await begun(replica, inbox)
    other = ask(asking)
    await anext(other)
    replica.calls[0].queue.put_nowait(asyncio.CancelledError())
    for one in (running, other):
        with pytest.raises(StreamLost, match="was cancelled"):
            await anext(one)
    await ended(replica)


@pytest.mark.usefixtures("many")
async def test_no_call_is_one_requests_alone(inbox: Inbox) -> None:
    """Else Serve would cancel it, with the streams of others, when that request's client leaves."""
    replica = Replica(endless)
    asking = caller(replica, inbox, own_calls_per_s=0.0)

    async def request() -> AsyncGenerator[bytes]:
        _set_request_context(request_id="r", _internal_request_id="of the request")
        stream = ask(asking)
        assert await anext(stream) == b"first"
        return stream

    running = await asyncio.create_task(request())
    [seen] = replica.contexts
    assert seen.request_id == "r"
    assert seen._internal_request_id not in ("", "of the request")
    await running.aclose()
    await ended(replica)


@pytest.mark.usefixtures("many")
async def test_faults_of_a_stream_are_its_own(inbox: Inbox) -> None:
    makes = iter([endless, refuse, broken, two])
    replica = Replica(lambda: next(makes)())
    asking, running = await begun(replica, inbox)
    with pytest.raises(BadRequest) as caught:
        await read(ask(asking))
    assert caught.value.param == "seed"
    with pytest.raises(Exception, match="a fault of ours"):
        await read(ask(asking))
    assert await read(ask(asking)) == b"one two"
    assert replica.ways == ["channel"]
    await running.aclose()
    await ended(replica)


@pytest.mark.usefixtures("many")
async def test_who_leaves_at_once_is_not_worked_for(inbox: Inbox) -> None:
    replica = Replica(endless)
    asking, running = await begun(replica, inbox)
    leaving = asyncio.create_task(read(ask(asking)))
    await until(lambda: inbox.num_streams == 2)
    leaving.cancel()
    await asyncio.wait([leaving])
    other = ask(asking)
    assert await anext(other) == b"first"
    assert replica.outbox.num_streams == 2
    for one in (running, other):
        await one.aclose()
    await ended(replica)


@pytest.mark.usefixtures("many")
async def test_a_deadline_stops_a_stream_that_was_taken(inbox: Inbox) -> None:
    replica = Replica(endless)
    asking, running = await begun(replica, inbox)
    with pytest.raises(DeadlineExceeded):
        await read(ask(asking, 0.2))
    await until(lambda: replica.outbox.num_streams == 1)
    assert replica.reset == "deadline"
    await running.aclose()
    await ended(replica)


@pytest.mark.usefixtures("many")
async def test_a_replica_that_dies_takes_all_of_its_streams(inbox: Inbox) -> None:
    replica = Replica(endless)
    asking, running = await begun(replica, inbox)
    other = ask(asking)
    await anext(other)
    await replica.outbox.close()
    for one in (running, other):
        with pytest.raises(StreamLost):
            await anext(one)
    await ended(replica)


@pytest.mark.usefixtures("many")
async def test_a_call_that_serve_cancels_ends_all_of_its_streams(inbox: Inbox) -> None:
    replica = Replica(endless)
    asking, running = await begun(replica, inbox)
    other = ask(asking)
    await anext(other)
    replica.calls[0].cancel()
    for one in (running, other):
        with pytest.raises(StreamLost):
            await anext(one)
    assert replica.outbox.num_streams == 0


@pytest.mark.usefixtures("many")
async def test_the_replica_with_fewer_streams_of_ours_takes_the_next(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy, idle = Replica(endless), Replica(endless)
    asking, running = await begun(busy, inbox)
    others = [ask(asking) for _ in range(2)]
    await asyncio.gather(*(anext(one) for one in others))
    [calls] = asking._open.values()
    calls._call = idle.work_by_channel.remote  # as if the router had chosen it
    with monkeypatch.context() as patch:
        patch.setattr("serve_app.open_calls.CALL_EVERY_S", 0.0)
        others.append(ask(asking))
        await anext(others[-1])
    for _ in range(4):
        others.append(ask(asking))
        await anext(others[-1])
    assert (len(busy.asked), len(idle.asked)) == (4, 4)
    for one in (running, *others):
        await one.aclose()
    await ended(busy)
    await ended(idle)


@pytest.mark.usefixtures("many")
async def test_a_full_replica_is_left_to_serves_choice(inbox: Inbox) -> None:
    makes = iter([endless, full, endless, endless])
    replica = Replica(lambda: next(makes)())
    asking, running = await begun(replica, inbox)
    with pytest.raises(Overloaded):
        await read(ask(asking))
    assert replica.ways == ["channel"]
    others = [ask(asking) for _ in range(2)]
    for one in others:
        assert await anext(one) == b"first"
    assert replica.ways == ["channel", "channel"], "one is placed by Serve, and the next joins it"
    for one in (running, *others):
        await one.aclose()
    await ended(replica)


async def test_calls_that_take_no_more_are_forgotten(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve_app.open_calls.TAKES_FOR_S", -1.0)
    replica = Replica(two)
    asking = caller(replica, inbox)
    for _ in range(20):
        await read(ask(asking))
    [calls] = asking._open.values()
    assert len(calls._taking) == 1


@pytest.mark.usefixtures("many")
async def test_what_cannot_be_written_has_a_call_of_its_own(inbox: Inbox) -> None:
    replica = Replica(endless)
    asking, running = await begun(replica, inbox)
    unusual = [
        asking.stream("work", "no model's", context=context()),
        asking.stream("work", Endpoint.CHAT, {"long": "x" * 100_000}, context=context()),
        asking.stream("work", Endpoint.CHAT, {"half of a character": "\ud800"}, context=context()),
        asking.stream("work", Endpoint.CHAT, BODY, context=context(float("inf"))),
    ]
    for one in unusual:
        assert await anext(one) == b"first"
    assert replica.ways == ["channel"] * 5
    for one in (running, *unusual):
        await one.aclose()
    await ended(replica)


async def refuse() -> AsyncIterator[bytes]:
    for item in NO_ITEMS:
        yield item
    raise BadRequest("no", "seed")


async def full() -> AsyncIterator[bytes]:
    for item in NO_ITEMS:
        yield item
    raise Overloaded("no place", 1.0)


async def broken() -> AsyncIterator[bytes]:
    yield b"first"
    raise RuntimeError("a fault of ours")
