"""An agent's run as the routes want it: its events up to the answer, or the answer alone."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from serve_app.agent.base import AgentClient
from serve_app.errors import BadRequest, EngineFailed
from serve_app.messages import AgentEvent, AgentQuestion, JsonObject, RequestContext
from serve_app.openai_api.requests import ChatMessage
from serve_app.streams import close

FINAL = "answer.final"


async def events_of(
    agent: AgentClient, question: AgentQuestion, context: RequestContext
) -> AsyncGenerator[AgentEvent]:
    """The run's events up to `answer.final`.

    Raises:
        EngineFailed: they ended without it; besides, whatever the agent raises.
    """
    async with aclosing(until_final(agent.answer(question, context))) as events:
        async for event in events:
            yield event


async def until_final(events: AsyncIterator[AgentEvent]) -> AsyncGenerator[AgentEvent]:
    """A run's events up to `answer.final`; they are closed then. Raises as `events_of`."""
    try:
        async for event in events:
            yield event
            if event.type == FINAL:
                return
    finally:
        await close(events)
    raise EngineFailed("the agent ended without an answer")


async def final_of(agent: AgentClient, question: AgentQuestion, context: RequestContext) -> JsonObject:
    """The data of the run's `answer.final`. Raises as `events_of`."""
    return await final_event(agent.answer(question, context))


async def final_event(events: AsyncIterator[AgentEvent]) -> JsonObject:
    """The data of `answer.final` among a run's events. Raises as `events_of`."""
    async with aclosing(until_final(events)) as rest:
        async for event in rest:
            final = event.data
    return final


def conversation(messages: list[ChatMessage], field: str = "messages") -> tuple[str, tuple[JsonObject, ...]]:
    """(the question, the turns before it) of a conversation whose last turn is the user's.

    Raises:
        BadRequest: it is not, or a turn is no text.
    """
    last = messages[-1]
    if last.role != "user":
        raise BadRequest(f"the last message must be the user's question, not one of {last.role!r}", field)
    history = tuple({"role": message.role, "content": message.text()} for message in messages[:-1])
    return last.text(), history
