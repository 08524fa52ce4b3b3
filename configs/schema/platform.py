"""The whole: one application."""

from __future__ import annotations

from pydantic import Field, model_validator

from configs.schema.agents.declared import DeclaredAgent, check_agents
from configs.schema.agents.pipeline import AgentConfig
from configs.schema.agents.tools import ToolConfig
from configs.schema.agents.web_search import WebSearchConfig
from configs.schema.base import Strict
from configs.schema.cluster.rules import check_cluster
from configs.schema.cluster.section import ClusterConfig
from configs.schema.engines.embedders import EmbedderConfig
from configs.schema.engines.models import ModelConfig
from configs.schema.engines.rerankers import RerankerConfig
from configs.schema.front_door.door import DoorConfig
from configs.schema.front_door.front import FrontConfig
from configs.schema.front_door.gateway import LiteLLMConfig
from configs.schema.ingress import IngressConfig, StreamsConfig
from configs.schema.knowledge import KnowledgeConfig
from configs.schema.sessions import SessionsConfig
from configs.schema.tracing import TracingConfig


class PlatformConfig(Strict):
    """One Manta application."""

    home: str | None = Field(
        default=None,
        description="Folder for data and model weights; None: MANTA_HOME, else the user's data folder.",
    )
    ingress: IngressConfig = Field(default=IngressConfig(), description="The HTTP door.")
    door: DoorConfig = Field(default=DoorConfig(), description="Who is let in, and how much each may use.")
    litellm: LiteLLMConfig | None = Field(
        default=None, description="LiteLLM's proxy in front; None: there is none."
    )
    front: FrontConfig = Field(
        default=FrontConfig(), description="What stands between the door and the models."
    )
    models: tuple[ModelConfig, ...] = Field(min_length=1, description="Chat models.")
    embedder: EmbedderConfig = Field(description="The embedding model.")
    reranker: RerankerConfig | None = Field(
        default=None,
        description="The model that orders the passages that a search found; None: there is none.",
    )
    knowledge: KnowledgeConfig = Field(default=KnowledgeConfig(), description="The knowledge base.")
    agent: AgentConfig = Field(description="The agent pipeline.")
    agents: tuple[DeclaredAgent, ...] = Field(
        default=(), description="Agents of one's own: a prompt, a model and tools."
    )
    tools: tuple[ToolConfig, ...] = Field(default=(), description="What those agents may call.")
    web_search: WebSearchConfig | None = Field(
        default=None, description="Searching the web; None: the agent has documents only."
    )
    sessions: SessionsConfig | None = Field(
        default=SessionsConfig(), description="Conversations that go on; None: none are kept."
    )
    tracing: TracingConfig = Field(default=TracingConfig(), description="Traces; off by default.")
    streams: StreamsConfig = Field(
        default=StreamsConfig(), description="How streams travel between replicas."
    )
    cluster: ClusterConfig | None = Field(
        default=None,
        description="The cluster that `manta cluster` plans and renders; None: none. One machine ignores it.",
    )

    @model_validator(mode="after")
    def _agrees(self) -> PlatformConfig:
        """What one section names, another has."""
        self._check_names()
        self._check_door()
        self._check_sessions()
        self._check_agents()
        if self.cluster is not None:
            check_cluster(self, self.cluster)
        return self

    def _check_names(self) -> None:
        """Deployments share one space of names, and groups of models join it."""
        names = self._deployments()
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"the name {name!r} is given twice among models, embedder and agent")
        models = self._models()
        for name in self.agent.model_names():
            if name not in models:
                field = "models" if name in self.agent.models else "judge or helper"
                raise ValueError(
                    f"agent.{field} names {name!r}, which is none of: {', '.join(sorted(models))}"
                )
        self.front.check(models, names, has_redis=self.door.redis is not None)

    def _check_door(self) -> None:
        door = self.door
        names = {*self._deployments(), *(group.name for group in self.front.groups)}
        of_tenants = {name for tenant in door.tenants for name in tenant.models}
        for name in sorted({*door.prices, *door.model_limits, *of_tenants}):
            if name not in names:
                raise ValueError(
                    f"door names the model {name!r}, which is none of: {', '.join(sorted(names))}"
                )
        if door.redis is None and door.is_counting and self.ingress.scaling.max_replicas > 1:
            raise ValueError(
                "door counts in one replica; ingress.scaling.max_replicas above 1 needs door.redis"
            )

    def _check_sessions(self) -> None:
        sessions = self.sessions
        if sessions is None:
            return
        if sessions.store == "redis" and not (sessions.redis or self.door.redis):
            raise ValueError("sessions.store is redis, and there is neither sessions.redis nor door.redis")
        models, name = self._models(), sessions.summary_model
        if name is not None and name not in models:
            raise ValueError(
                f"sessions.summary_model names {name!r}, which is none of: {', '.join(sorted(models))}"
            )

    def _check_agents(self) -> None:
        check_agents(
            self.agents,
            self.tools,
            {model.name: model.engine for model in self.models},
            self.agent.name,
            self.agent.task_agent,
            has_sessions=self.sessions is not None,
            has_web=self.web_search is not None,
        )
        if all(model.optional for model in self.models if model.name in self.agent.models):
            raise ValueError("agent.models needs one model that is not optional")

    def _models(self) -> set[str]:
        return {model.name for model in self.models}

    def _deployments(self) -> list[str]:
        """The names that a profile gives, the twice given twice."""
        reranker = [] if self.reranker is None else [self.reranker.name]
        agents = [agent.name for agent in self.agents]
        return [
            *(model.name for model in self.models),
            self.embedder.name,
            self.agent.name,
            *reranker,
            *agents,
        ]
