"""POST /v1/embeddings."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from serve_app.errors import BadRequest
from serve_app.ingress.answers.answers import ask_model, takes
from serve_app.ingress.answers.passing import pass_on
from serve_app.ingress.requests.call import CallReader
from serve_app.ingress.routes.direct import DirectRoute
from serve_app.ingress.services import Services
from serve_app.messages import Endpoint, JsonObject
from serve_app.openai_api.requests import EmbeddingRequest, parse_embedding


def router(reader: CallReader, services: Services, max_inputs: int) -> APIRouter:
    routes = APIRouter(tags=["embeddings"], route_class=DirectRoute)

    @routes.post("/v1/embeddings", openapi_extra=takes(EmbeddingRequest))
    async def embed(request: Request) -> Response:
        """Vectors for one text or a list of them."""
        call = await reader.read(request)
        _check_count(call.body, max_inputs)
        if (answer := await pass_on(services, Endpoint.EMBEDDINGS, call)) is not None:
            return answer
        wanted = parse_embedding(call.body)
        services.require(wanted.model, Endpoint.EMBEDDINGS)
        return await ask_model(
            services, services.embedders[wanted.model], wanted.model, Endpoint.EMBEDDINGS, call
        )

    return routes


def _check_count(body: JsonObject, max_inputs: int) -> None:
    """Before the texts are validated one by one. A list of numbers is one input, made of tokens."""
    inputs = body.get("input")
    if isinstance(inputs, list) and len(inputs) > max_inputs and not isinstance(inputs[0], int):
        raise BadRequest(f"input has {len(inputs)} texts; one request takes {max_inputs}", "input")
