"""The reranker in a replica. A plain class; `app.py` makes a deployment of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from configs.schema import ExternalReranker, RerankerConfig, TracingConfig
from serve_app.channel.asked import Asked
from serve_app.channel.values import values_of
from serve_app.engines.hosted import HostedEngine
from serve_app.engines.registry import open_reranker
from serve_app.engines.rerank.base import RerankEngine
from serve_app.health.replica import nothing_to_check
from serve_app.messages import RequestContext, Scores
from serve_app.replica import Replica, returns_errors, without_items
from serve_app.telemetry.deployment import Instruments
from serve_app.telemetry.traced import trace_reranker
from serve_app.telemetry.tracing import Tracing


class RerankerDeployment(HostedEngine[RerankEngine]):
    """One replica of the reranking model."""

    def __init__(
        self,
        config: RerankerConfig,
        home: Path,
        tracing: TracingConfig = TracingConfig(),  # noqa: B008 (frozen)
    ) -> None:
        own_tracing = Tracing(tracing, config.name, Instruments().count)
        opened = open_reranker(config, home, max(1, int(config.scaling.num_cpus)))
        engine = trace_reranker(opened, own_tracing.tracer)
        # Another replica would call the same service, and find it in the same state.
        is_elsewhere = isinstance(config, ExternalReranker)
        check = nothing_to_check if is_elsewhere else engine.check_health
        super().__init__(engine, Replica(config.name, config.scaling, check), own_tracing)

    @returns_errors
    async def rerank(self, query: str, passages: Sequence[str], context: RequestContext) -> Scores:
        async with self._replica.working(context):
            return await self._engine.rerank(query, passages, context)

    @without_items
    async def rerank_by_channel(self, asked: Asked) -> None:
        """The same, sent by the channel."""
        await self._replica.send(asked, values_of(self._engine.rerank))
