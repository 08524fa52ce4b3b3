"""POST /v1/agents/runs/{run_id}/approval: a person decides about the calls that a paused run waits with."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from serve_app.agents.base import DeclaredAgentClient
from serve_app.errors import ModelNotFound
from serve_app.front.base import Ask
from serve_app.ingress.agents.events import final_event, until_final
from serve_app.ingress.answers.answers import takes
from serve_app.ingress.answers.front import answer_through, ask_of
from serve_app.ingress.answers.sse import PING_EVERY_S
from serve_app.ingress.requests.call import CallReader
from serve_app.ingress.routes.direct import DirectRoute
from serve_app.ingress.services import Services
from serve_app.messages import AgentEvent, ApprovalDecision
from serve_app.openai_api.requests import ModelName, parse
from serve_app.openai_api.responses import encode
from serve_app.openai_api.responses import event as sse_event
from serve_app.streams import close


class ApprovalRequest(BaseModel):
    """What a person decided. Agent, token and the calls' ids are those of `approval.required`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    agent: ModelName
    token: Annotated[str, Field(min_length=1, max_length=256)]
    approve: bool | dict[str, bool] = Field(description="All calls alike, or each by its id.")
    reason: Annotated[str, Field(max_length=500)] = Field(
        default="", description="Why calls were refused; the model reads it."
    )
    stream: bool = False


def router(reader: CallReader, services: Services) -> APIRouter:
    routes = APIRouter(tags=["agent"], route_class=DirectRoute)

    @routes.post("/v1/agents/runs/{run_id}/approval", openapi_extra=takes(ApprovalRequest))
    async def decide(request: Request) -> Response:
        """The rest of a run that waited: its answer, or with `stream` every step as an event."""
        call = await reader.read(request)
        wanted = parse(ApprovalRequest, call.body)
        agent = services.declared.get(wanted.agent)
        if agent is None:
            known = ", ".join(sorted(services.declared)) or "(none)"
            raise ModelNotFound(f"no agent {wanted.agent!r} is declared; there are: {known}")
        ask = ask_of(request, call, wanted.agent, "agents/approvals", is_stream=wanted.stream)
        # The steps see what a model gets to read of it, and nothing that opens a run.
        ask = replace(ask, body={"reason": wanted.reason}, is_once=True)

        def source(asked: Ask) -> AsyncGenerator[bytes]:
            reason = asked.body["reason"]
            decision = ApprovalDecision(
                request.path_params["run_id"], call.user_id, wanted.token, wanted.approve, reason
            )
            return _answer(services, agent, decision, asked)

        return await answer_through(
            services.front, ask, source, call, error_event="error", ping_every_s=PING_EVERY_S
        )

    return routes


async def _answer(
    services: Services, agent: DeclaredAgentClient, decision: ApprovalDecision, ask: Ask
) -> AsyncGenerator[bytes]:
    """One document, or the events."""
    events = agent.resume(decision, ask.context)
    if not ask.is_stream:
        final = await services.waking(ask.name, final_event(events))
        yield encode({"object": "agent.answer", "id": ask.context.request_id, "agent": ask.name, **final})
        return
    frames = services.waking_stream(ask.name, _frames(events))
    try:
        async for frame in frames:
            yield frame
    finally:
        await close(frames)


async def _frames(events: AsyncIterator[AgentEvent]) -> AsyncGenerator[bytes]:
    async with aclosing(until_final(events)) as rest:
        async for event in rest:
            yield sse_event(event.data, event.type)
