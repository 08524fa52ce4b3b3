"""An agent's events as a caller that wants an answer sees them: events, or the error that ended them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing

from serve_app.agent.base import AgentClient
from serve_app.errors import BadRequest, EngineFailed, MantaError
from serve_app.messages import AgentEvent, AgentQuestion, JsonObject, RequestContext
from serve_app.openai_api.requests import ChatMessage
from serve_app.streams import close

FINAL = "answer.final"


async def events_of(
    agent: AgentClient, question: AgentQuestion, context: RequestContext
) -> AsyncGenerator[AgentEvent]:
    """The run's events up to `answer.final`.

    Raises:
        MantaError: what the agent raised, or what its `error` event tells of.
    """
    events = agent.answer(question, context)
    try:
        async for event in events:
            if event.type == "error":
                raise _told(event.data)
            yield event
            if event.type == FINAL:
                return
    finally:
        await close(events)
    raise EngineFailed("the agent ended without an answer")


async def final_of(agent: AgentClient, question: AgentQuestion, context: RequestContext) -> JsonObject:
    """The data of the run's `answer.final`. Raises as `events_of`."""
    async with aclosing(events_of(agent, question, context)) as events:
        async for event in events:
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


def _told(body: JsonObject) -> MantaError:
    """The error whose OpenAI body the agent sent as an event, so that it has its status again."""
    told = body["error"]
    code, kind = told.get("code"), told.get("type")
    for cls in _tree(MantaError):
        if (cls.code, cls.type) == (code, kind):
            return (
                cls(told["message"], told["param"]) if issubclass(cls, BadRequest) else cls(told["message"])
            )
    return EngineFailed(told["message"])


def _tree(cls: type[MantaError]) -> Iterator[type[MantaError]]:
    yield cls
    for child in cls.__subclasses__():
        yield from _tree(child)
