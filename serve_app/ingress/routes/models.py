"""GET /v1/models: what is served, by which engine, at which endpoints."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter, Response

from serve_app.adapters.base import Adapter
from serve_app.ingress.answers.answers import json_document
from serve_app.ingress.services import Services
from serve_app.messages import JsonObject, ModelCard


def router(services: Services) -> APIRouter:
    routes = APIRouter(tags=["models"])
    served_since_s = int(time.time())  # OpenAI's `created`: since when this replica serves the model

    @routes.get("/v1/models")
    async def list_models() -> Response:
        """What can be written into `model`."""
        data = [_model(card, served_since_s) for card in services.cards.values()]
        data += [_adapted(one, services, served_since_s) for one in await _adapters(services)]
        return json_document({"object": "list", "data": data})

    @routes.get("/v1/models/{name:path}")
    async def get_model(name: str) -> Response:
        """One of them."""
        for adapter in await _adapters(services):
            if adapter.name == name:
                return json_document(_adapted(adapter, services, served_since_s))
        return json_document(_model(services.card(name), served_since_s))

    return routes


async def _adapters(services: Services) -> list[Adapter]:
    return [] if services.adapters is None else await services.adapters.all()


def _adapted(adapter: Adapter, services: Services, served_since_s: int) -> JsonObject:
    """An adapter is a model like its base, whose name and place it has besides, as with vLLM."""
    base = _model(services.cards[adapter.model], served_since_s)
    return base | {"id": adapter.name, "parent": adapter.model, "root": adapter.path}


def _model(card: ModelCard, served_since_s: int) -> JsonObject:
    known: dict[str, Any] = {"context_tokens": card.context_tokens, "dim": card.dim}
    return {
        "id": card.name,
        "object": "model",
        "created": served_since_s,
        "owned_by": "manta",
        "engine": card.engine,
        "endpoints": [endpoint.path for endpoint in card.endpoints],
        "is_generative": card.is_generative,
        **{key: value for key, value in known.items() if value is not None},
        "manta": {"kind": card.kind, **card.serves},
    }
