"""The agent's deployment: the answer pipeline in a replica, over handles to what it needs."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

from ray.serve.handle import DeploymentHandle

from configs.schema import AgentConfig
from serve_app.agent.pipeline import AnswerPipeline
from serve_app.handles import KnowledgeHandle, ModelHandle
from serve_app.messages import AgentEvent, AgentQuestion, ModelCard, RequestContext
from serve_app.telemetry.deployment import Instruments
from serve_app.telemetry.metrics import AGENT_DEGRADED, AGENT_DURATION


class AgentDeployment:
    """One replica of the agent."""

    def __init__(
        self,
        config: AgentConfig,
        models: Mapping[str, DeploymentHandle[Any]],
        cards: Mapping[str, ModelCard],
        knowledge: DeploymentHandle[Any],
    ) -> None:
        """`models` and `cards` hold the models of `config.models` that are served, by name."""
        clients = {name: ModelHandle(handle, name) for name, handle in models.items()}
        self._name = config.name
        self._pipeline = AnswerPipeline(config, clients, cards, KnowledgeHandle(knowledge))
        self._instruments = Instruments()

    async def answer(self, question: AgentQuestion, context: RequestContext) -> AsyncIterator[AgentEvent]:
        began = time.perf_counter()
        async with aclosing(self._pipeline.answer(question, context)) as events:
            async for event in events:
                if event.type == "answer.final":
                    self._count(event, time.perf_counter() - began)
                yield event

    def _count(self, final: AgentEvent, seconds: float) -> None:
        outcome = final.data["outcome"]
        self._instruments.observe(AGENT_DURATION, seconds, agent=self._name, outcome=outcome)
        for flag in final.data["flags"]:
            self._instruments.count(AGENT_DEGRADED, agent=self._name, reason=flag)

    async def check_health(self) -> None:
        return
