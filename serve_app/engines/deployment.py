"""Model deployments: an engine in a replica. Plain classes; `app.py` makes deployments of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from pathlib import Path

from configs.schema import EmbedderConfig, ExternalEmbedder, ExternalModel, ModelConfig, TracingConfig
from serve_app.channel.asked import AskedTogether
from serve_app.engines.base import ModelEngine
from serve_app.engines.registry import open_embedder, open_model
from serve_app.health.replica import nothing_to_check
from serve_app.messages import Embeddings, Endpoint, JsonObject, ModelCard, RequestContext
from serve_app.openai_api.estimate import prompt_tokens, text_tokens
from serve_app.replica import Replica, returns_errors
from serve_app.streams import NO_ITEMS, joined
from serve_app.telemetry.deployment import Instruments
from serve_app.telemetry.metrics import Count
from serve_app.telemetry.traced import trace_embedder, trace_model
from serve_app.telemetry.tracing import Tracing

# A message between replicas costs about as much as 5 ms of a stream: see docs/decisions/0003.
JOIN_WINDOW_S = 0.005


class ModelDeployment:
    """One replica of a chat model."""

    def __init__(
        self,
        config: ModelConfig,
        home: Path,
        tracing: TracingConfig = TracingConfig(),  # noqa: B008 (frozen)
    ) -> None:
        num_threads = _num_threads(config.scaling.num_cpus)
        count = Instruments().count
        self._tracing = Tracing(tracing, config.name, count)
        self._engine = trace_model(self._open(config, home, num_threads, count), self._tracing.tracer)
        self._replica = _replica(config, self._engine)

    def _open(self, config: ModelConfig, home: Path, num_threads: int, count: Count) -> ModelEngine:
        return open_model(config, home, num_threads, count)

    @returns_errors
    async def respond(self, endpoint: Endpoint, body: JsonObject, context: RequestContext) -> bytes:
        async with self._replica.working(context, lambda: prompt_tokens(body)):
            return await self._engine.respond(endpoint, body, context)

    async def stream(
        self, endpoint: Endpoint, body: JsonObject, context: RequestContext
    ) -> AsyncIterator[bytes]:
        source = self._replica.stream(
            context, lambda: self._engine.stream(endpoint, body, context), lambda: prompt_tokens(body)
        )
        async with aclosing(joined(source, JOIN_WINDOW_S)) as frames:
            async for frame in frames:
                yield frame

    async def stream_by_channel(self, asked: AskedTogether) -> AsyncIterator[bytes]:
        """The streams, sent by the channel; there are no items."""
        await self._replica.send_all(asked, self._engine.stream, _prompt_tokens)
        # Without a single item; but a stream, for Serve counts a call as queued until it streams or ends.
        for item in NO_ITEMS:
            yield item

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


class EmbedderDeployment:
    """One replica of the embedding model."""

    def __init__(
        self,
        config: EmbedderConfig,
        home: Path,
        tracing: TracingConfig = TracingConfig(),  # noqa: B008 (frozen)
    ) -> None:
        self._tracing = Tracing(tracing, config.name, Instruments().count)
        engine = open_embedder(config, home, _num_threads(config.scaling.num_cpus))
        self._engine = trace_embedder(engine, self._tracing.tracer)
        self._replica = _replica(config, self._engine)

    @returns_errors
    async def respond(self, endpoint: Endpoint, body: JsonObject, context: RequestContext) -> bytes:
        async with self._replica.working(context, lambda: prompt_tokens(body)):
            return await self._engine.respond(endpoint, body, context)

    @returns_errors
    async def embed(
        self,
        texts: Sequence[str] | Sequence[Sequence[int]],
        context: RequestContext,
        *,
        is_query: bool = False,
        truncate: bool = False,
    ) -> Embeddings:
        async with self._replica.working(context, lambda: text_tokens(texts)):
            return await self._engine.embed(texts, context, is_query=is_query, truncate=truncate)

    @returns_errors
    async def count_tokens(self, texts: Sequence[str], context: RequestContext) -> list[int]:
        return await self._engine.count_tokens(texts, context)

    async def describe(self) -> ModelCard:
        return await self._engine.describe()

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


def _replica(config: ModelConfig | EmbedderConfig, engine: ModelEngine) -> Replica:
    # Another replica would call the same service, and find it in the same state.
    is_elsewhere = isinstance(config, ExternalModel | ExternalEmbedder)
    return Replica(config.name, config.scaling, nothing_to_check if is_elsewhere else engine.check_health)


def _prompt_tokens(endpoint: Endpoint, body: JsonObject, context: RequestContext) -> int:
    return prompt_tokens(body)


def _num_threads(num_cpus: float) -> int:
    return max(1, int(num_cpus))
