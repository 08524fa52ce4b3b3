"""Endpoints that only engines which read requests themselves serve: vLLM's own."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request, Response

from serve_app.errors import BadRequest
from serve_app.ingress.answers.passing import pass_on
from serve_app.ingress.requests.call import CallReader
from serve_app.ingress.routes.direct import DirectRoute
from serve_app.ingress.services import Services
from serve_app.messages import Endpoint

# Under which paths besides their own vLLM serves them too.
_ALSO = {Endpoint.SCORE: ("/score",), Endpoint.RERANK: ("/rerank", "/v2/rerank")}
_SAID = {
    Endpoint.RESPONSES: "OpenAI's responses, each complete in itself: none is kept for a later request.",
    Endpoint.MESSAGES: "Anthropic's messages.",
    Endpoint.SCORE: "How alike pairs of texts are, or how well one answers the other.",
    Endpoint.CLASSIFY: "The class of each text, with probabilities.",
    Endpoint.POOLING: "What a pooling model makes of each text, as it is.",
    Endpoint.TOKENIZE: "A text's tokens, by the model's own tokenizer and template.",
    Endpoint.DETOKENIZE: "The text of tokens.",
    Endpoint.RERANK: "As /v1/rerank.",
}


def router(reader: CallReader, services: Services) -> APIRouter:
    routes = APIRouter(tags=["vllm"], route_class=DirectRoute)
    for endpoint, said in _SAID.items():
        own = () if endpoint is Endpoint.RERANK else (endpoint.path,)
        for path in (*own, *_ALSO.get(endpoint, ())):
            routes.add_api_route(
                path,
                _route(reader, services, endpoint),
                methods=["POST"],
                description=said,
                name=path.strip("/").replace("/", " "),
            )
    return routes


def _route(
    reader: CallReader, services: Services, endpoint: Endpoint
) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    async def route(request: Request) -> Response:
        call = await reader.read(request)
        answer = await pass_on(services, endpoint, call)
        if answer is not None:
            return answer
        name = call.body.get("model")
        if not isinstance(name, str):
            raise BadRequest("model: names what is asked", "model")
        services.require(name, endpoint)
        raise BadRequest(f"{name} serves this at {endpoint.path}", "model")

    return route
