"""Conversations of declared agents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from serve_app.errors import Conflict, Unavailable
from serve_app.messages import AgentQuestion, RequestContext
from serve_app.sessions.base import Session, SessionKey
from serve_app.sessions.memory import MemorySessions

FIRST = AgentQuestion("My name is Ann.", user_id="ann", session_id="s1")


async def test_a_conversation_goes_on(build: Callable[..., Any], context: RequestContext) -> None:
    store = MemorySessions()
    house = build(["Hello Ann."], ["Ann."], sessions=store, memory="session")
    await house.ask(FIRST)
    await house.ask(AgentQuestion("What is my name?", user_id="ann", session_id="s1"))
    assert [message["content"] for message in house.model.bodies[1]["messages"]] == [
        "Help.",
        "My name is Ann.",
        "Hello Ann.",
        "What is my name?",
    ]
    kept = await store.load(SessionKey("acme", "ann", "s1"), context)
    assert kept.version == 2


async def test_another_user_has_another_conversation(build: Callable[..., Any]) -> None:
    house = build(["Hello."], sessions=MemorySessions(), memory="session")
    await house.ask(FIRST)
    await house.ask(AgentQuestion("What is my name?", user_id="eve", session_id="s1"))
    assert "Ann" not in str(house.model.bodies[1])


async def test_of_two_turns_at_once_one_is_told(build: Callable[..., Any], context: RequestContext) -> None:
    store = MemorySessions()

    class Racing(MemorySessions):
        async def load(self, key: SessionKey, context: RequestContext) -> Session:
            seen = await store.load(key, context)
            await store.append(key, [{"role": "user", "content": "faster"}], seen, context)
            return seen

        async def append(
            self, key: SessionKey, turns: Any, basis: Session, context: RequestContext
        ) -> Session:
            return await store.append(key, turns, basis, context)

    house = build(["Hello."], sessions=Racing(), memory="session")
    with pytest.raises(Conflict):
        await house.ask(FIRST)


@pytest.mark.parametrize("broken", ["load", "append"])
async def test_without_the_store_there_is_an_answer_and_a_flag(
    build: Callable[..., Any], broken: str
) -> None:
    class Broken(MemorySessions):
        async def load(self, key: SessionKey, context: RequestContext) -> Session:
            if broken == "load":
                raise Unavailable("gone")
            return await super().load(key, context)

        async def append(
            self, key: SessionKey, turns: Any, basis: Session, context: RequestContext
        ) -> Session:
            raise Unavailable("gone")

    house = build(["Hello."], sessions=Broken(), memory="session")
    final = (await house.ask(FIRST))[-1].data
    assert (final["text"], final["flags"]) == ("Hello.", ["session_unavailable"])
