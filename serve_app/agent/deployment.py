"""The agent's deployment: the answer pipeline in a replica, over handles to what it needs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing

from ray.serve.handle import DeploymentHandle

from configs.schema import AgentConfig
from serve_app.agent.pipeline import AnswerPipeline
from serve_app.handles import KnowledgeHandle, ModelHandle
from serve_app.messages import AgentEvent, AgentQuestion, ModelCard, RequestContext


class AgentDeployment:
    """One replica of the agent."""

    def __init__(
        self,
        config: AgentConfig,
        models: Mapping[str, DeploymentHandle],
        cards: Mapping[str, ModelCard],
        knowledge: DeploymentHandle,
    ) -> None:
        """`models` and `cards` hold the models of `config.models` that are served, by name."""
        clients = {name: ModelHandle(handle, name) for name, handle in models.items()}
        self._pipeline = AnswerPipeline(config, clients, cards, KnowledgeHandle(knowledge))

    async def answer(self, question: AgentQuestion, context: RequestContext) -> AsyncIterator[AgentEvent]:
        async with aclosing(self._pipeline.answer(question, context)) as events:
            async for event in events:
                yield event

    async def check_health(self) -> None:
        return
