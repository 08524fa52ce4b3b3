"""POST /v1/rerank."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from serve_app.errors import BadRequest
from serve_app.ingress.answers.answers import ask_model, takes
from serve_app.ingress.answers.passing import pass_on
from serve_app.ingress.requests.call import CallReader
from serve_app.ingress.routes.direct import DirectRoute
from serve_app.ingress.services import Services
from serve_app.messages import Endpoint
from serve_app.openai_api.rerank import RerankRequest, parse_rerank


def router(reader: CallReader, services: Services, max_documents: int) -> APIRouter:
    routes = APIRouter(tags=["rerank"], route_class=DirectRoute)

    @routes.post("/v1/rerank", openapi_extra=takes(RerankRequest))
    async def rerank(request: Request) -> Response:
        """Texts in the order of how well they answer a question."""
        call = await reader.read(request)
        documents = call.body.get("documents")
        if isinstance(documents, list) and len(documents) > max_documents:
            raise BadRequest(
                f"documents has {len(documents)} texts; one request takes {max_documents}", "documents"
            )
        if (answer := await pass_on(services, Endpoint.RERANK, call)) is not None:
            return answer
        wanted = parse_rerank(call.body)
        services.require(wanted.model, Endpoint.RERANK)
        return await ask_model(services, services.models[wanted.model], wanted.model, Endpoint.RERANK, call)

    return routes
