"""What one replica has of tracing; nothing, where it is off. Imports no OpenTelemetry before it is needed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from configs.load import ProfileError, tracing
from configs.schema import LangfuseExporter, TracingConfig
from serve_app.errors import ConfigError
from serve_app.telemetry.metrics import Count
from serve_app.telemetry.spans import Tracer

if TYPE_CHECKING:
    from serve_app.telemetry.scores import LangfuseScores


class Tracing:
    """A replica's tracer and what sends scores; both None where they are off.

    Args:
        config: as the profile has it; the environment's part is read here, where it counts.
        name: of the deployment.
        sends_scores: this replica judges answers. Only then, made where a loop runs.

    Raises:
        ConfigError: a secret is not set, or the environment names an exporter that there is not.
    """

    def __init__(self, config: TracingConfig, name: str, count: Count, *, sends_scores: bool = False) -> None:
        self.tracer: Tracer | None = None
        self.scores: LangfuseScores | None = None
        self._close = lambda: None
        try:
            resolved = tracing(config)
        except ProfileError as exc:
            raise ConfigError(f"tracing: {exc}") from exc
        if not resolved.exporters:
            return
        from serve_app.telemetry.otel import langfuse_authorization, open_otel

        opened = open_otel(resolved, name, count)
        self.tracer, self._close = opened, opened.close
        langfuse = [one for one in resolved.exporters if isinstance(one, LangfuseExporter)]
        if sends_scores and langfuse and langfuse[0].scores_ratio > 0:
            from serve_app.telemetry.scores import LangfuseScores

            self.scores = LangfuseScores(langfuse[0], langfuse_authorization(langfuse[0]), count)

    async def close(self) -> None:
        """Send what waits, for a few seconds at most."""
        if self.scores is not None:
            await self.scores.close()
        if self.tracer is not None:
            await asyncio.to_thread(self._close)
