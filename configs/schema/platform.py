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
    def _names(self) -> PlatformConfig:
        names = [model.name for model in self.models] + [self.embedder.name, self.agent.name]
        names += [] if self.reranker is None else [self.reranker.name]
        names += [agent.name for agent in self.agents]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"the name {name!r} is given twice among models, embedder and agent")
        known = {model.name for model in self.models}
        for name in self.agent.model_names():
            if name not in known:
                field = "models" if name in self.agent.models else "judge or helper"
                raise ValueError(
                    f"agent.{field} names {name!r}, which is none of: {', '.join(sorted(known))}"
                )
        self.front.check(known, names, has_redis=self.door.redis is not None)
        names += [group.name for group in self.front.groups]
        for name in {
            *self.door.prices,
            *self.door.model_limits,
            *(one for t in self.door.tenants for one in t.models),
        }:
            if name not in names:
                raise ValueError(
                    f"door names the model {name!r}, which is none of: {', '.join(sorted(names))}"
                )
        if self.door.redis is None and self.door.is_counting and self.ingress.scaling.max_replicas > 1:
            raise ValueError(
                "door counts in one replica; ingress.scaling.max_replicas above 1 needs door.redis"
            )
        sessions = self.sessions
        if sessions is not None and sessions.store == "redis" and not (sessions.redis or self.door.redis):
            raise ValueError("sessions.store is redis, and there is neither sessions.redis nor door.redis")
        if sessions is not None and sessions.summary_model not in {None, *known}:
            raise ValueError(
                f"sessions.summary_model names {sessions.summary_model!r}, which is none of: {', '.join(sorted(known))}"
            )
        engines = {model.name: model.engine for model in self.models}
        check_agents(
            self.agents,
            self.tools,
            engines,
            self.agent.name,
            self.agent.task_agent,
            has_sessions=self.sessions is not None,
            has_web=self.web_search is not None,
        )
        if all(model.optional for model in self.models if model.name in self.agent.models):
            raise ValueError("agent.models needs one model that is not optional")
        if self.cluster is not None:
            check_cluster(self, self.cluster)
        return self
