"""What the deployments of all engines have: OpenAI's edge, a queue, health, an end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Generic, TypeVar

from serve_app.channel.asked import Asked
from serve_app.channel.values import in_pieces
from serve_app.engines.base import ModelEngine
from serve_app.messages import Endpoint, JsonObject, RequestContext
from serve_app.openai_api.estimate import prompt_tokens
from serve_app.replica import Replica, returns_errors, without_items
from serve_app.telemetry.tracing import Tracing

E = TypeVar("E", bound=ModelEngine)


class HostedEngine(Generic[E]):
    """An engine in a replica.

    Args:
        engine: closed with this.
        replica: its queue and its ends of the channel; closed with this.
        tracing: closed at last, as closing an engine may end spans.
    """

    def __init__(self, engine: E, replica: Replica, tracing: Tracing) -> None:
        self._engine = engine
        self._replica = replica
        self._tracing = tracing

    @returns_errors
    async def respond(self, endpoint: Endpoint, body: JsonObject, context: RequestContext) -> bytes:
        async with self._replica.working(context, lambda: prompt_tokens(body)):
            return await self._engine.respond(endpoint, body, context)

    @without_items
    async def respond_by_channel(self, asked: Asked) -> None:
        """The document, sent by the channel."""
        await self._replica.send(asked, self._document, prompt_tokens_of)

    def record_autoscaling_stats(self) -> dict[str, float]:
        return self._replica.autoscaling_stats()

    async def check_health(self) -> None:
        """For Serve, which replaces this replica if it raises: see ReplicaHealth."""
        await self._replica.check_health()

    async def check_ready(self) -> None:
        """Return if the engine, and what it depends on, can work."""
        await self._engine.check_health()

    async def __del__(self) -> None:
        await self._replica.close()
        await self._engine.close()
        await self._tracing.close()

    async def _document(
        self, endpoint: Endpoint, body: JsonObject, context: RequestContext
    ) -> AsyncIterator[bytes]:
        for piece in in_pieces(await self._engine.respond(endpoint, body, context)):
            yield piece


def prompt_tokens_of(endpoint: Endpoint, body: JsonObject, context: RequestContext) -> int:
    """What a model reads for a call of its edge, about."""
    return prompt_tokens(body)
