"""POST /v1/agent/answers: a question's answer with its citations, or the events on the way to it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from serve_app.agent.base import AgentClient
from serve_app.errors import BadRequest, ModelNotFound
from serve_app.front.base import Ask
from serve_app.ingress.agents.events import conversation, events_of, final_of
from serve_app.ingress.answers.answers import takes
from serve_app.ingress.answers.front import answer_through, ask_of
from serve_app.ingress.answers.sse import PING_EVERY_S
from serve_app.ingress.door.users import SANE_SESSION
from serve_app.ingress.requests.call import CallReader
from serve_app.ingress.routes.direct import DirectRoute
from serve_app.ingress.services import Services
from serve_app.messages import AgentQuestion, RequestContext
from serve_app.openai_api.requests import ChatMessage, ModelName, Temperature, TokenCount, parse
from serve_app.openai_api.responses import encode
from serve_app.openai_api.responses import event as sse_event
from serve_app.streams import close


class AnswerRequest(BaseModel):
    """What the agent is asked: one question, or a conversation that ends with one."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    question: str | None = None
    messages: Annotated[list[ChatMessage], Field(min_length=1)] | None = None
    agent: ModelName | None = Field(default=None, description="Its name; none: the pipeline.")
    k: Annotated[int, Field(ge=1, le=50)] | None = Field(default=None, description="Passages for the prompt.")
    filters: dict[str, str | list[str]] = Field(
        default={}, description="Only documents whose field equals the value, or one of the values."
    )
    max_tokens: TokenCount | None = None
    temperature: Temperature | None = None
    session: Annotated[str, Field(pattern=SANE_SESSION)] | None = Field(
        default=None, description="The conversation that this goes on with, by a name of the client's choice."
    )
    stream: bool = False
    optimistic: bool = Field(
        default=False,
        description="With `stream`: drafts before the gate passed them, and a revision if it does not.",
    )


def router(reader: CallReader, services: Services) -> APIRouter:
    routes = APIRouter(tags=["agent"], route_class=DirectRoute)

    @routes.post("/v1/agent/answers", openapi_extra=takes(AnswerRequest))
    async def answer(request: Request) -> Response:
        """An answer from the knowledge base, with citations; with `stream`, every step as an event."""
        call = await reader.read(request)
        wanted = parse(AnswerRequest, call.body)
        name = _agent_name(wanted.agent, services)
        agent, question = services.agents[name], _question(wanted, call.user_id)
        ask = ask_of(request, call, name, "agent/answers", is_stream=wanted.stream)

        def source(asked: Ask) -> AsyncGenerator[bytes]:
            same = asked.body is call.body
            now = question if same else _question(parse(AnswerRequest, asked.body), call.user_id)
            return _answer(services, agent, now, asked)

        return await answer_through(
            services.front, ask, source, call, error_event="error", ping_every_s=PING_EVERY_S
        )

    return routes


async def _answer(
    services: Services, agent: AgentClient, question: AgentQuestion, ask: Ask
) -> AsyncGenerator[bytes]:
    """One document, or the events."""
    if not ask.is_stream:
        final = await services.waking(ask.name, final_of(agent, question, ask.context))
        yield encode({"object": "agent.answer", "id": ask.context.request_id, "agent": ask.name, **final})
        return
    frames = services.waking_stream(ask.name, _frames(agent, question, ask.context))
    try:
        async for frame in frames:
            yield frame
    finally:
        await close(frames)


async def _frames(
    agent: AgentClient, question: AgentQuestion, context: RequestContext
) -> AsyncGenerator[bytes]:
    async with aclosing(events_of(agent, question, context)) as events:
        async for event in events:
            yield sse_event(event.data, event.type)


def _agent_name(asked: str | None, services: Services) -> str:
    if asked is None:
        return next(iter(services.agents))
    if asked not in services.agents:
        raise ModelNotFound(f"no agent {asked!r} is served; there are: {', '.join(sorted(services.agents))}")
    return asked


def _question(wanted: AnswerRequest, user_id: str) -> AgentQuestion:
    if (wanted.question is None) == (wanted.messages is None):
        raise BadRequest("give either question or messages", "question")
    text, history = (wanted.question or "", ()) if wanted.messages is None else conversation(wanted.messages)
    return AgentQuestion(
        text,
        history,
        wanted.k,
        wanted.filters,
        wanted.max_tokens,
        wanted.temperature,
        user_id,
        wanted.session,
        is_optimistic=wanted.optimistic and wanted.stream,
    )
