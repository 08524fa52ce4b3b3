"""How a route answers: a model's bytes passed on untouched, or a document of ours."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fastapi import Response
from pydantic import BaseModel

from serve_app.engines.base import ModelClient
from serve_app.ingress.answers.sse import EventStream
from serve_app.ingress.requests.call import Call
from serve_app.ingress.services import Services
from serve_app.messages import Endpoint, JsonObject
from serve_app.openai_api.responses import encode

# No model is asked for them.
_COUNTS = frozenset({Endpoint.TOKENIZE, Endpoint.DETOKENIZE})


def json_bytes(document: bytes) -> Response:
    return Response(document, media_type="application/json")


def json_document(document: JsonObject) -> Response:
    return json_bytes(encode(document))


async def ask_model(
    services: Services,
    client: ModelClient,
    name: str,
    endpoint: Endpoint,
    call: Call,
    *,
    is_stream: bool = False,
) -> Response:
    """The model's answer. It gets the body as the client sent it, so that it sees all it may know."""
    told: dict[str, str] = {}
    if services.front is not None and services.front.guard is not None and endpoint not in _COUNTS:
        # What writes texts goes through the steps, guards among them; what comes here makes numbers.
        body = await services.front.guard.let_in(call.body, call.context, told, is_followed=False)
        call = replace(call, body=body)
    if is_stream:
        frames = services.waking_stream(name, client.stream(endpoint, call.body, call.context))
        return EventStream(frames, call.context.deadline, name, told=told)
    response = json_bytes(await call.run(name, services.waking(name, _document(client, endpoint, call))))
    response.headers.update(told)
    return response


async def _document(client: ModelClient, endpoint: Endpoint, call: Call) -> bytes:
    return await client.respond(endpoint, call.body, call.context)


def takes(model: type[BaseModel]) -> dict[str, Any]:
    """The part of the OpenAPI page that says what a route's body is.

    Routes read their bodies themselves, with limits and faults in OpenAI's shape, so FastAPI has to be told.
    """
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})
    return {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _inlined(schema, definitions)}},
        }
    }


def _inlined(node: Any, definitions: JsonObject) -> Any:
    """The schema with its references replaced by what they refer to; none of ours is recursive."""
    if isinstance(node, list):
        return [_inlined(one, definitions) for one in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _inlined(definitions[node["$ref"].rpartition("/")[2]], definitions)
    return {key: _inlined(value, definitions) for key, value in node.items()}
