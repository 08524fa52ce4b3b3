"""POST /v1/chat/completions and /v1/completions."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from serve_app.ingress.agent_chat import answer_chat
from serve_app.ingress.answers import ask_model, takes
from serve_app.ingress.call import CallReader
from serve_app.ingress.routes.direct import DirectRoute
from serve_app.ingress.services import Services
from serve_app.messages import Endpoint
from serve_app.openai_api.requests import (
    ChatCompletionRequest,
    CompletionRequest,
    parse_chat,
    parse_completion,
)


def router(reader: CallReader, services: Services) -> APIRouter:
    routes = APIRouter(tags=["text"], route_class=DirectRoute)

    @routes.post("/v1/chat/completions", openapi_extra=takes(ChatCompletionRequest))
    async def chat(request: Request) -> Response:
        """A chat model's answer, or the agent's if `model` is its name."""
        call = await reader.read(request)
        wanted = parse_chat(call.body)
        services.require(wanted.model, Endpoint.CHAT)
        agent = services.agents.get(wanted.model)
        if agent is not None:
            return await answer_chat(services, agent, wanted, call)
        client = services.models[wanted.model]
        return await ask_model(services, client, wanted.model, Endpoint.CHAT, call, is_stream=wanted.stream)

    @routes.post("/v1/completions", openapi_extra=takes(CompletionRequest))
    async def complete(request: Request) -> Response:
        """A prompt, continued."""
        call = await reader.read(request)
        wanted = parse_completion(call.body)
        services.require(wanted.model, Endpoint.COMPLETIONS)
        client = services.models[wanted.model]
        return await ask_model(
            services, client, wanted.model, Endpoint.COMPLETIONS, call, is_stream=wanted.stream
        )

    return routes
