"""Requests of models whose engines read them themselves: passed on as the client sent them, answered likewise.

So such a model takes every field that its engine knows, and refuses what its engine refuses, in its words.
"""

from __future__ import annotations

from fastapi import Response

from serve_app.engines.base import ModelClient
from serve_app.errors import BadRequest
from serve_app.ingress.answers.answers import ask_model
from serve_app.ingress.requests.call import Call
from serve_app.ingress.services import Services
from serve_app.messages import Endpoint, ModelCard

# Endpoints whose answers are written by a model, and of these the ones whose requests are understood here.
_WRITE = frozenset({Endpoint.CHAT, Endpoint.COMPLETIONS, Endpoint.RESPONSES, Endpoint.MESSAGES})
_READ_HERE = frozenset({Endpoint.CHAT, Endpoint.COMPLETIONS})


async def pass_on(services: Services, endpoint: Endpoint, call: Call) -> Response | None:
    """The engine's answer; None: the request is for a model whose requests are read here.

    Raises:
        BadRequest: the model does not serve the endpoint, nobody could say whether to stream, or guards would have to
            look at what cannot be read here.
    """
    found = await _asked(services, call.body.get("model"))
    if found is None:
        return None
    card, client = found
    if _has_to_be_read(services, endpoint, call.body["model"]):
        return None
    services.require(card.name, endpoint)
    is_stream = call.body.get("stream")
    if is_stream is not None and not isinstance(is_stream, bool):
        raise BadRequest("stream: must be true or false", "stream")
    return await ask_model(services, client, card.name, endpoint, call, is_stream=bool(is_stream))


def _has_to_be_read(services: Services, endpoint: Endpoint, name: str) -> bool:
    """Whether steps before the models want to see what is asked, and can."""
    if services.front is None or endpoint not in _WRITE:
        return False
    if endpoint in _READ_HERE and name in services.cards:
        return True
    if services.front.guard is not None:
        raise BadRequest(
            f"{endpoint.path} of {name} is not served here: guards could not look at it", "model"
        )
    return False


async def _asked(services: Services, name: object) -> tuple[ModelCard, ModelClient] | None:
    """Whom a request names: a model that reads it itself, or an adapter of one."""
    if not isinstance(name, str):
        return None
    card = services.cards.get(name)
    if card is not None:
        return (card, services.models[name]) if card.reads_requests else None
    adapter = None if services.adapters is None else await services.adapters.find(name)
    if adapter is None:
        return None
    assert services.adapters is not None
    return services.cards[adapter.model], services.adapters.client(adapter)
