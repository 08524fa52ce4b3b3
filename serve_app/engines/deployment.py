"""Model deployments: an engine in a replica. Plain classes; `app.py` makes deployments of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from pathlib import Path

from configs.schema import EmbedderConfig, ModelConfig
from serve_app.channel.address import ReplyTo
from serve_app.channel.outbox import StreamReset
from serve_app.engines.registry import open_embedder, open_model
from serve_app.errors import DeadlineExceeded
from serve_app.messages import CancelReason, Embeddings, Endpoint, JsonObject, ModelCard, RequestContext
from serve_app.replica import open_outbox
from serve_app.streams import NO_ITEMS, joined
from serve_app.telemetry.deployment import Instruments
from serve_app.telemetry.metrics import REQUESTS_CANCELLED

# A message between replicas costs about as much as 5 ms of a stream: see docs/decisions/0003.
JOIN_WINDOW_S = 0.005


class ModelDeployment:
    """One replica of a chat model."""

    def __init__(self, config: ModelConfig, home: Path) -> None:
        self._name = config.name
        self._engine = open_model(config, home, _num_threads(config.scaling.num_cpus))
        self._instruments = Instruments()
        self._outbox = open_outbox()

    async def respond(self, endpoint: Endpoint, body: JsonObject, context: RequestContext) -> bytes:
        with self._counting_cancellations():
            return await self._engine.respond(endpoint, body, context)

    async def stream(
        self, endpoint: Endpoint, body: JsonObject, context: RequestContext
    ) -> AsyncIterator[bytes]:
        source = self._engine.stream(endpoint, body, context)
        with self._counting_cancellations():
            async with aclosing(joined(source, JOIN_WINDOW_S)) as frames:
                async for frame in frames:
                    yield frame

    async def stream_by_channel(
        self, endpoint: Endpoint, body: JsonObject, context: RequestContext, reply_to: ReplyTo
    ) -> AsyncIterator[bytes]:
        """The stream, sent by the channel; there are no items."""
        source = self._engine.stream(endpoint, body, context)
        with suppress(StreamReset), self._counting_cancellations():
            error = await self._outbox.send_all(source, reply_to)
            if isinstance(error, DeadlineExceeded):
                self._count_cancelled(CancelReason.DEADLINE)
        # Without a single item; but a stream, for Serve counts a call as queued until it streams or ends.
        for item in NO_ITEMS:
            yield item

    async def check_health(self) -> None:
        await self._engine.check_health()

    async def __del__(self) -> None:
        await self._engine.close()
        await self._outbox.close()

    @contextmanager
    def _counting_cancellations(self) -> Iterator[None]:
        try:
            yield
        except StreamReset as exc:
            self._count_cancelled(exc.reason)
            raise
        except (asyncio.CancelledError, GeneratorExit):
            self._count_cancelled(CancelReason.CALLER_LEFT)
            raise
        except DeadlineExceeded:
            self._count_cancelled(CancelReason.DEADLINE)
            raise

    def _count_cancelled(self, reason: str) -> None:
        self._instruments.count(REQUESTS_CANCELLED, model=self._name, reason=reason)


class EmbedderDeployment:
    """One replica of the embedding model."""

    def __init__(self, config: EmbedderConfig, home: Path) -> None:
        self._engine = open_embedder(config, home, _num_threads(config.scaling.num_cpus))

    async def respond(self, endpoint: Endpoint, body: JsonObject, context: RequestContext) -> bytes:
        return await self._engine.respond(endpoint, body, context)

    async def embed(
        self,
        texts: Sequence[str] | Sequence[Sequence[int]],
        context: RequestContext,
        *,
        is_query: bool = False,
        truncate: bool = False,
    ) -> Embeddings:
        return await self._engine.embed(texts, context, is_query=is_query, truncate=truncate)

    async def count_tokens(self, texts: Sequence[str], context: RequestContext) -> list[int]:
        return await self._engine.count_tokens(texts, context)

    async def describe(self) -> ModelCard:
        return await self._engine.describe()

    async def check_health(self) -> None:
        await self._engine.check_health()

    async def __del__(self) -> None:
        await self._engine.close()


def _num_threads(num_cpus: float) -> int:
    return max(1, int(num_cpus))
