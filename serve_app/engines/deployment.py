"""Model deployments: an engine in a replica. Plain classes; `app.py` makes deployments of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from pathlib import Path

from configs.schema import EmbedderConfig, ExternalEmbedder, ExternalModel, ModelConfig, TracingConfig
from serve_app.channel.asked import Asked
from serve_app.channel.values import values_of
from serve_app.engines.base import EmbeddingEngine, ModelEngine
from serve_app.engines.hosted import HostedEngine, prompt_tokens_of
from serve_app.engines.registry import open_embedder, open_model
from serve_app.health.replica import nothing_to_check
from serve_app.messages import EmbeddingInput, Embeddings, Endpoint, JsonObject, ModelCard, RequestContext
from serve_app.openai_api.estimate import prompt_tokens, text_tokens
from serve_app.replica import Replica, returns_errors, without_items
from serve_app.streams import joined
from serve_app.telemetry.deployment import Instruments
from serve_app.telemetry.metrics import Count
from serve_app.telemetry.traced import trace_embedder, trace_model
from serve_app.telemetry.tracing import Tracing

# A message between replicas costs about as much as 5 ms of a stream: see docs/decisions/0003.
JOIN_WINDOW_S = 0.005


class ModelDeployment(HostedEngine[ModelEngine]):
    """One replica of a chat model."""

    def __init__(
        self,
        config: ModelConfig,
        home: Path,
        tracing: TracingConfig = TracingConfig(),  # noqa: B008 (frozen)
    ) -> None:
        count = Instruments().count
        own_tracing = Tracing(tracing, config.name, count)
        engine = self._open(config, home, _num_threads(config.scaling.num_cpus), count)
        engine = trace_model(engine, own_tracing.tracer)
        super().__init__(engine, _replica(config, engine), own_tracing)

    def _open(self, config: ModelConfig, home: Path, num_threads: int, count: Count) -> ModelEngine:
        return open_model(config, home, num_threads, count)

    async def stream(
        self, endpoint: Endpoint, body: JsonObject, context: RequestContext
    ) -> AsyncIterator[bytes]:
        source = self._replica.stream(
            context, lambda: self._engine.stream(endpoint, body, context), lambda: prompt_tokens(body)
        )
        async with aclosing(joined(source, JOIN_WINDOW_S)) as frames:
            async for frame in frames:
                yield frame

    @without_items
    async def stream_by_channel(self, asked: Asked) -> None:
        """The stream, sent by the channel."""
        await self._replica.send(asked, self._engine.stream, prompt_tokens_of)


class EmbedderDeployment(HostedEngine[EmbeddingEngine]):
    """One replica of the embedding model."""

    def __init__(
        self,
        config: EmbedderConfig,
        home: Path,
        tracing: TracingConfig = TracingConfig(),  # noqa: B008 (frozen)
    ) -> None:
        own_tracing = Tracing(tracing, config.name, Instruments().count)
        opened = open_embedder(config, home, _num_threads(config.scaling.num_cpus))
        engine = trace_embedder(opened, own_tracing.tracer)
        super().__init__(engine, _replica(config, engine), own_tracing)

    @returns_errors
    async def embed(self, given: EmbeddingInput, context: RequestContext) -> Embeddings:
        async with self._replica.working(context, lambda: text_tokens(given.texts)):
            return await self._embed(given, context)

    @without_items
    async def embed_by_channel(self, asked: Asked) -> None:
        """The same, sent by the channel."""
        await self._replica.send(asked, values_of(self._embed), lambda given, _: text_tokens(given.texts))

    @returns_errors
    async def count_tokens(self, texts: Sequence[str], context: RequestContext) -> list[int]:
        return await self._engine.count_tokens(texts, context)

    async def describe(self) -> ModelCard:
        return await self._engine.describe()

    async def _embed(self, given: EmbeddingInput, context: RequestContext) -> Embeddings:
        return await self._engine.embed(
            given.texts, context, is_query=given.is_query, truncate=given.truncate
        )


def _replica(config: ModelConfig | EmbedderConfig, engine: ModelEngine) -> Replica:
    # Another replica would call the same service, and find it in the same state.
    is_elsewhere = isinstance(config, ExternalModel | ExternalEmbedder)
    return Replica(config.name, config.scaling, nothing_to_check if is_elsewhere else engine.check_health)


def _num_threads(num_cpus: float) -> int:
    return max(1, int(num_cpus))
