"""POST /v1/agents/runs/{run_id}/approval: a person decides about the calls that a paused run waits with."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from serve_app.errors import ModelNotFound
from serve_app.ingress.agent_events import final_event, until_final
from serve_app.ingress.answers import json_document, takes
from serve_app.ingress.call import CallReader
from serve_app.ingress.routes.direct import DirectRoute
from serve_app.ingress.services import Services
from serve_app.ingress.sse import PING_EVERY_S, EventStream
from serve_app.messages import AgentEvent, ApprovalDecision
from serve_app.openai_api.requests import ModelName, parse
from serve_app.openai_api.responses import event as sse_event


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
        decision = ApprovalDecision(
            request.path_params["run_id"], call.user_id, wanted.token, wanted.approve, wanted.reason
        )
        events = agent.resume(decision, call.context)
        if wanted.stream:
            frames = services.waking_stream(wanted.agent, _frames(events))
            return EventStream(
                frames, call.context.deadline, wanted.agent, error_event="error", ping_every_s=PING_EVERY_S
            )
        final = await call.run(wanted.agent, services.waking(wanted.agent, final_event(events)))
        document = {"object": "agent.answer", "id": call.context.request_id, "agent": wanted.agent, **final}
        return json_document(document)

    return routes


async def _frames(events: AsyncIterator[AgentEvent]) -> AsyncGenerator[bytes]:
    async with aclosing(until_final(events)) as rest:
        async for event in rest:
            yield sse_event(event.data, event.type)
