"""POST /v1/load_lora_adapter and /v1/unload_lora_adapter, as vLLM has them, for all replicas at once."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field

from serve_app.errors import NotFound
from serve_app.ingress.adapters import Adapters
from serve_app.ingress.answers.answers import takes
from serve_app.ingress.requests.call import CallReader
from serve_app.ingress.routes.direct import DirectRoute
from serve_app.ingress.services import Services
from serve_app.openai_api.requests import ModelName, parse

_STAGE = "loading an adapter"
_Path = Annotated[str, Field(min_length=1, max_length=4096)]


class LoadAdapterRequest(BaseModel):
    """vLLM's fields, and `model`, where several models take adapters."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    lora_name: ModelName
    lora_path: _Path
    model: ModelName | None = None
    load_inplace: bool = Field(default=False, description="Replace an adapter of that name.")


class UnloadAdapterRequest(BaseModel):
    """vLLM's field."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    lora_name: ModelName


def router(reader: CallReader, services: Services) -> APIRouter:
    routes = APIRouter(tags=["adapters"], route_class=DirectRoute)

    @routes.post("/v1/load_lora_adapter", openapi_extra=takes(LoadAdapterRequest))
    async def load(request: Request) -> Response:
        """Serve an adapter under a name of its own, from now on, in every replica of its model."""
        call = await reader.read(request)
        wanted = parse(LoadAdapterRequest, call.body)
        loading = _adapters(services).load(
            wanted.lora_name,
            wanted.lora_path,
            wanted.model,
            call.context,
            is_new_version=wanted.load_inplace,
        )
        await call.run(_STAGE, loading)
        return PlainTextResponse(f"Success: LoRA adapter '{wanted.lora_name}' added successfully.")

    @routes.post("/v1/unload_lora_adapter", openapi_extra=takes(UnloadAdapterRequest))
    async def unload(request: Request) -> Response:
        """Serve it no longer. Requests under way end with it."""
        call = await reader.read(request)
        name = parse(UnloadAdapterRequest, call.body).lora_name
        await call.run(_STAGE, _adapters(services).unload(name))
        return PlainTextResponse(f"Success: LoRA adapter '{name}' removed successfully.")

    return routes


def _adapters(services: Services) -> Adapters:
    if services.adapters is None:
        raise NotFound("no model here takes adapters: see `lora` in the configuration")
    return services.adapters
