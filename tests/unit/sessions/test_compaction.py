from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

import pytest

from configs.schema import SessionsConfig
from serve_app.errors import EngineFailed, MantaError
from serve_app.messages import Deadline, Endpoint, JsonObject, Priority, RequestContext
from serve_app.sessions.agent_sessions import ACTIVE_S, ActiveSessions
from serve_app.sessions.base import Session, SessionKey
from serve_app.sessions.compaction import CompactedSessions, ModelSummariser, num_to_summarise
from serve_app.sessions.memory import MemorySessions
from serve_app.sessions.record import Limits

KEY = SessionKey("acme", "ann", "s")
CONTEXT = RequestContext("r", "acme", Deadline.after(86_400))
CONFIG = SessionsConfig(summary_model="m", summarise_above_tokens=100)


def turn(at: int, size: int = 120) -> list[JsonObject]:
    said = f"{at} ".ljust(size, "x")
    return [{"role": "user", "content": said}, {"role": "assistant", "content": said}]


class Summaries:
    """Says which turns it was given, or fails."""

    def __init__(self, *outcomes: str | MantaError) -> None:
        self.outcomes = list(outcomes)
        self.asked: list[tuple[str, int]] = []
        self.contexts: list[RequestContext] = []

    async def __call__(self, before: str, turns: Sequence[JsonObject], context: RequestContext) -> str:
        self.asked.append((before, len(turns)))
        self.contexts.append(context)
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, MantaError):
            raise outcome
        return outcome


class House:
    def __init__(self, *outcomes: str | MantaError) -> None:
        self.summaries = Summaries(*outcomes)
        self.told: asyncio.Queue[str] = asyncio.Queue()
        limits = Limits(400, 100_000, drops_unsummarised=False)
        self.store = CompactedSessions(MemorySessions(limits), self.summaries, CONFIG, self.told.put_nowait)

    async def say(self, *ats: int) -> Session:
        for at in ats:
            basis = await self.store.load(KEY, CONTEXT)
            session = await self.store.append(KEY, turn(at), basis, CONTEXT)
        return session

    async def next_told(self) -> str:
        async with asyncio.timeout(60):
            return await self.told.get()


@pytest.fixture
async def run() -> AsyncIterator[list[asyncio.Task[None]]]:
    tasks: list[asyncio.Task[None]] = []
    yield tasks
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_long_conversation_is_summarised_and_its_newest_turns_stay(
    run: list[asyncio.Task[None]],
) -> None:
    house = House("zero was said", "zero to two were said")
    run.append(asyncio.create_task(house.store.run()))
    await house.say(0)
    assert house.told.empty()
    await house.say(1)
    assert await house.next_told() == "done"
    session = await house.store.load(KEY, CONTEXT)
    assert session.summary == "zero was said"
    assert list(session.recent()) == []  # one turn is more than half of the limit
    assert len(session.turns) == 4
    await house.say(2, 3)
    assert await house.next_told() == "done"
    assert house.summaries.asked == [("", 4), ("zero was said", 4)]
    assert {context.priority for context in house.summaries.contexts} == {Priority.BATCH}


async def test_a_summary_that_fails_loses_nothing_and_is_asked_for_again(
    run: list[asyncio.Task[None]],
) -> None:
    house = House(EngineFailed("it broke"), "short")
    run.append(asyncio.create_task(house.store.run()))
    whole = await house.say(0, 1)
    assert await house.next_told() == "failed"
    assert await house.store.load(KEY, CONTEXT) == whole
    await house.say(2)
    assert await house.next_told() == "done"
    assert house.summaries.asked[1] == ("", 6)


async def test_turns_said_while_a_summary_is_made_stay() -> None:
    house = House()
    begun, go = asyncio.Event(), asyncio.Event()

    async def slow(before: str, turns: Sequence[JsonObject], context: RequestContext) -> str:
        begun.set()
        await go.wait()
        return "short"

    store = CompactedSessions(house.store, slow, CONFIG, house.told.put_nowait)
    house.store = store
    task = asyncio.create_task(store.run())
    await house.say(0, 1)
    await begun.wait()
    after = await house.say(2)
    go.set()
    assert await house.next_told() == "done"
    session = await store.load(KEY, CONTEXT)
    assert session.turns == after.turns
    assert list(session.recent()) == turn(2)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_a_conversation_that_was_deleted_gets_no_summary(run: list[asyncio.Task[None]]) -> None:
    house = House("never")
    await house.say(0, 1)
    await house.store.delete(KEY, CONTEXT)
    run.append(asyncio.create_task(house.store.run()))
    assert await house.next_told() == "outdated"
    assert house.summaries.asked == []


async def test_too_many_that_wait_are_told_of() -> None:
    house = House()
    for name in range(70):
        key = SessionKey("acme", "ann" + str(name), "s")
        for at in (0, 1):
            basis = await house.store.load(key, CONTEXT)
            await house.store.append(key, turn(at), basis, CONTEXT)
    assert [house.told.get_nowait() for _ in range(house.told.qsize())] == ["dropped"] * 6


def test_the_newest_half_stays_and_begins_with_a_question() -> None:
    turns = tuple(one for at in range(20) for one in turn(at, 40))
    session = Session(turns=turns, version=20)
    num = num_to_summarise(session, 100)
    assert 0 < num < len(turns)
    assert turns[num]["role"] == "user"
    assert len(turns) - num <= 6
    assert num_to_summarise(Session(turns=turns[:10], version=5), 100) == 0
    assert num_to_summarise(
        Session(turns=tuple(one for at in range(7) for one in turn(at, 4)), version=7), 100
    )


class OneAnswer:
    def __init__(self, content: object) -> None:
        self.raw = json.dumps({"choices": [{"message": {"content": content}}]}).encode()
        self.bodies: list[JsonObject] = []

    async def respond(self, endpoint: Endpoint, body: JsonObject, context: RequestContext) -> bytes:
        self.bodies.append(body)
        return self.raw

    def stream(self, endpoint: Endpoint, body: JsonObject, context: RequestContext) -> AsyncIterator[bytes]:
        raise NotImplementedError


async def test_the_model_sees_what_was_said_and_what_was_before() -> None:
    model = OneAnswer(" Ann wants rays.\u200b ")
    summary = await ModelSummariser("m", model, 60)("Ann greeted", turn(7, 3), CONTEXT)
    assert summary == "Ann wants rays."
    (body,) = model.bodies
    assert body["max_tokens"] == 60
    assert (
        body["messages"][1]["content"]
        == "(before that, in short: Ann greeted)\n\nuser: 7 x\n\nassistant: 7 x"
    )


@pytest.mark.parametrize("content", [None, "", "  ", 5, ["x"]])
async def test_a_model_that_says_nothing_made_no_summary(content: object) -> None:
    with pytest.raises(EngineFailed):
        await ModelSummariser("m", OneAnswer(content), 60)("", turn(1), CONTEXT)


def test_conversations_are_active_for_a_while() -> None:
    now_s = [0.0]
    active = ActiveSessions(lambda: now_s[0])
    active.see(KEY)
    now_s[0] = ACTIVE_S / 2
    active.see(SessionKey("acme", "bob", "s"))
    active.see(KEY)
    assert active.num() == 2
    now_s[0] = ACTIVE_S + 1
    assert active.num() == 2
    now_s[0] = ACTIVE_S * 2
    assert active.num() == 0
