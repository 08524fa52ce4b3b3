"""The reranker in a replica. A plain class; `app.py` makes a deployment of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from configs.schema import ExternalReranker, RerankerConfig, TracingConfig
from serve_app.engines.registry import open_reranker
from serve_app.health.replica import nothing_to_check
from serve_app.messages import Endpoint, JsonObject, RequestContext, Scores
from serve_app.replica import Replica, returns_errors
from serve_app.telemetry.deployment import Instruments
from serve_app.telemetry.traced import trace_reranker
from serve_app.telemetry.tracing import Tracing


class RerankerDeployment:
    """One replica of the reranking model."""

    def __init__(
        self,
        config: RerankerConfig,
        home: Path,
        tracing: TracingConfig = TracingConfig(),  # noqa: B008 (frozen)
    ) -> None:
        self._tracing = Tracing(tracing, config.name, Instruments().count)
        engine = open_reranker(config, home, max(1, int(config.scaling.num_cpus)))
        self._engine = trace_reranker(engine, self._tracing.tracer)
        # Another replica would call the same service, and find it in the same state.
        is_elsewhere = isinstance(config, ExternalReranker)
        check = nothing_to_check if is_elsewhere else self._engine.check_health
        self._replica = Replica(config.name, config.scaling, check)

    @returns_errors
    async def respond(self, endpoint: Endpoint, body: JsonObject, context: RequestContext) -> bytes:
        async with self._replica.working(context):
            return await self._engine.respond(endpoint, body, context)

    @returns_errors
    async def rerank(self, query: str, passages: Sequence[str], context: RequestContext) -> Scores:
        async with self._replica.working(context):
            return await self._engine.rerank(query, passages, context)

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
