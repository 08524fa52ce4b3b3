"""POST /v1/chat/completions and /v1/completions."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from serve_app.ingress.agents.chat import chat_source
from serve_app.ingress.answers.answers import ask_model, takes
from serve_app.ingress.answers.front import answer_through, ask_of, models_source
from serve_app.ingress.answers.passing import pass_on
from serve_app.ingress.answers.sse import PING_EVERY_S
from serve_app.ingress.requests.call import CallReader
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
    source = models_source(services)

    @routes.post("/v1/chat/completions", openapi_extra=takes(ChatCompletionRequest))
    async def chat(request: Request) -> Response:
        """A chat model's answer, or the agent's if `model` is its name."""
        call = await reader.read(request)
        if (answer := await pass_on(services, Endpoint.CHAT, call)) is not None:
            return answer
        wanted = parse_chat(call.body)
        services.require(wanted.model, Endpoint.CHAT)
        agent = services.agents.get(wanted.model)
        if agent is not None:
            ask = ask_of(request, call, wanted.model, Endpoint.CHAT, is_stream=wanted.stream)
            agents = chat_source(services, agent, wanted, call)
            return await answer_through(services.front, ask, agents, call, ping_every_s=PING_EVERY_S)
        if services.front is not None:
            ask = ask_of(request, call, wanted.model, Endpoint.CHAT, is_stream=wanted.stream)
            return await answer_through(services.front, ask, source, call)
        client = services.models[wanted.model]
        return await ask_model(services, client, wanted.model, Endpoint.CHAT, call, is_stream=wanted.stream)

    @routes.post("/v1/completions", openapi_extra=takes(CompletionRequest))
    async def complete(request: Request) -> Response:
        """A prompt, continued."""
        call = await reader.read(request)
        if (answer := await pass_on(services, Endpoint.COMPLETIONS, call)) is not None:
            return answer
        wanted = parse_completion(call.body)
        services.require(wanted.model, Endpoint.COMPLETIONS)
        if services.front is not None:
            ask = ask_of(request, call, wanted.model, Endpoint.COMPLETIONS, is_stream=wanted.stream)
            return await answer_through(services.front, ask, source, call)
        client = services.models[wanted.model]
        return await ask_model(
            services, client, wanted.model, Endpoint.COMPLETIONS, call, is_stream=wanted.stream
        )

    return routes
