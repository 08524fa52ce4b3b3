"""build(config) -> Application: every bind, in the order of the flow.

    client -> Ingress -> chat models
                      -> Embedder
                      -> KnowledgeBase -> Embedder, Reranker
                      -> Agent -> KnowledgeBase, chat models
                      -> declared agents -> KnowledgeBase, their model, other agents

`serve run configs/local.yaml` calls `build` with the file's `args`. Without any, the
default profile's are used (`default`).
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import serve
from ray.serve import Application
from ray.serve.config import AutoscalingConfig, RequestRouterConfig

from configs.autoscaling import serve_autoscaling
from configs.load import (
    ProfileError,
    default_profile,
    home,
    nodes_may_come,
    parse_platform,
    read_profile,
)
from configs.schema import (
    AgentConfig,
    DeclaredAgent,
    EmbedderConfig,
    LlamaCppModel,
    ModelConfig,
    PlatformConfig,
    RerankerConfig,
    ScalingConfig,
    SessionsConfig,
    TracingConfig,
    VllmModel,
    calls_of,
    order_of_calls,
)
from serve_app.adapters.book import configured_adapters
from serve_app.agent.deployment import AgentDeployment
from serve_app.agents.deployment import DeclaredAgentDeployment
from serve_app.engines.cards import agent_card, embedder_card, model_card, reranker_card
from serve_app.engines.deployment import EmbedderDeployment, ModelDeployment
from serve_app.engines.rerank.deployment import RerankerDeployment
from serve_app.engines.vllm import presence
from serve_app.engines.vllm.deployment import VllmDeployment
from serve_app.engines.vllm.devices import device_of
from serve_app.engines.vllm.nodes import check_nodes
from serve_app.errors import ConfigError
from serve_app.ingress.deployment import IngressDeployment
from serve_app.messages import ModelCard
from serve_app.model_cache.cache import why_missing
from serve_app.request_router import AFFINE_ROUTER, ROUTER
from serve_app.retrieval.deployment import KnowledgeBaseDeployment
from serve_app.routing.router import group_cards

logger = logging.getLogger("manta")

# Of calls that need no place in a replica's queue: readiness, counting tokens.
_QUEUE_MARGIN = 64
# What agents are told of the pipeline, where one of their tools is to ask it.
_PIPELINE = "Answers a question from the ingested documents, with care, and says when they hold no answer."


# By name: a class would travel to every process by value. Its annotation in Serve does not know names.
_ROUTER_CONFIG = RequestRouterConfig(request_router_class=ROUTER)  # type: ignore[arg-type]


def build(args: dict[str, Any]) -> Application:
    """The application that a PlatformConfig describes.

    Raises:
        ConfigError: on one line, every fault of the configuration.
    """
    try:
        config = parse_platform(args) if args else read_profile(default_profile()).platform
    except ProfileError as exc:
        raise ConfigError(str(exc)) from exc
    folder = home(config)
    served, left_out = _present(config, folder)
    if ray.is_initialized() and not nodes_may_come():
        check_nodes([model for model in served if isinstance(model, VllmModel)], _nodes())

    models = {model.name: _model(model, folder, config.tracing) for model in served}
    embedder = _queueing(EmbedderDeployment, "Embedder", config.embedder.scaling).bind(
        config.embedder, folder, config.tracing
    )
    rerankers = {one.name: _reranker(one, folder, config.tracing) for one in (config.reranker,) if one}
    knowledge = _queueing(KnowledgeBaseDeployment, "KnowledgeBase", config.knowledge.scaling).bind(
        config.knowledge, folder, embedder, config.streams, *rerankers.values(), tracing=config.tracing
    )
    cards = {model.name: model_card(model) for model in served}
    agents, without_model = _Agents(config, folder, models, cards, embedder, knowledge).bind()
    pipeline = agents.pop(config.agent.name)

    cards = cards | _other_cards(config, agents)
    groups, without_member = group_cards(config.front.groups, cards)
    ingress = _deployment(serve.ingress()(IngressDeployment), "Ingress", config.ingress.scaling).options(
        logging_config={"enable_access_log": True},
        request_router_config=RequestRouterConfig(),  # HAProxy chooses among its replicas
    )
    return ingress.bind(
        config.ingress,
        config.streams,
        models | rerankers,
        embedder,
        knowledge,
        pipeline,
        cards | groups,
        left_out | without_model | without_member,
        embedder_name=config.embedder.name,
        agent_name=config.agent.name,
        may_sleep=_may_sleep(config),
        door=config.door,
        front=config.front,
        home=folder,
        sessions=_sessions(config),
        tracing=config.tracing,
        declared=agents,
        adaptable=[model.name for model in served if isinstance(model, VllmModel) and model.lora],
        configured=configured_adapters(served),
    )


def _nodes() -> list[dict[str, float]]:
    """What each node of this Ray has in all."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node["Resources"] for node in nodes if node["Alive"]]


def _other_cards(config: PlatformConfig, declared: Collection[str]) -> dict[str, ModelCard]:
    """Of what can be named besides the chat models; of the declared agents those that are bound."""
    cards = {
        config.embedder.name: embedder_card(config.embedder),
        config.agent.name: agent_card(config.agent),
        **{one.name: agent_card(one) for one in config.agents if one.name in declared},
    }
    if config.reranker is not None:
        cards[config.reranker.name] = reranker_card(config.reranker)
    return cards


@dataclass(frozen=True)
class _Agents:
    """The pipeline and the declared agents, and what all of them are bound to."""

    config: PlatformConfig
    folder: Path
    models: Mapping[str, Application]
    cards: Mapping[str, ModelCard]  # of the models
    embedder: Application
    knowledge: Application

    def bind(self) -> tuple[dict[str, Application], dict[str, str]]:
        """By name, each after those that it asks; name -> reason for what is left out."""
        pipeline = self.config.agent
        declared = {agent.name: agent for agent in self.config.agents}
        calls = calls_of(self.config.agents, self.config.tools, pipeline.name, pipeline.task_agent)
        bound: dict[str, Application] = {}
        left_out: dict[str, str] = {}
        for name in order_of_calls(calls):
            if name == pipeline.name:
                bound[name] = self._pipeline(bound.get(pipeline.task_agent or ""))
                continue
            missing = [one for one in calls[name] if one not in bound]
            if declared[name].model not in self.models or missing:
                needed = ", ".join(missing) or declared[name].model
                left_out[name] = f"it needs {needed}, which is not loaded"
                logger.warning("%s is left out: %s", name, left_out[name])
                continue
            bound[name] = self._declared(declared[name], {other: bound[other] for other in calls[name]})
        return bound, left_out

    def _pipeline(self, task: Application | None) -> Application:
        config = self.config
        return _queueing(AgentDeployment, "Agent", config.agent.scaling).bind(
            config.agent,
            self._served((*config.agent.model_names(), *self._summary_model())),
            self.cards,
            self.knowledge,
            self.embedder,
            config.streams,
            sessions=_sessions(config),
            home=self.folder,
            web_search=config.web_search,
            tracing=config.tracing,
            task=task,
            task_description=None if task is None else self._descriptions()[config.agent.task_agent or ""],
        )

    def _declared(self, agent: DeclaredAgent, others: Mapping[str, Application]) -> Application:
        config = self.config
        return _queueing(
            DeclaredAgentDeployment, f"Agent-{agent.name.replace('/', '-')}", agent.scaling
        ).bind(
            agent,
            [tool for wanted in agent.tools for tool in config.tools if tool.name == wanted],
            self._served((agent.model, *self._summary_model())),
            self.cards,
            self.knowledge,
            others,
            self._descriptions(),
            config.streams,
            sessions=_sessions(config),
            home=self.folder,
            tracing=config.tracing,
            web_search=config.web_search,
        )

    def _served(self, names: Iterable[str]) -> dict[str, Application]:
        return {name: self.models[name] for name in names if name in self.models}

    def _summary_model(self) -> tuple[str, ...]:
        """The model that summarises conversations, if there is one."""
        sessions = self.config.sessions
        return () if sessions is None or sessions.summary_model is None else (sessions.summary_model,)

    def _descriptions(self) -> dict[str, str]:
        """What an agent is told of another that one of its tools asks."""
        return {one.name: one.description for one in self.config.agents} | {self.config.agent.name: _PIPELINE}


def _sessions(config: PlatformConfig) -> SessionsConfig | None:
    """With the door's Redis, where the sessions have none of their own."""
    if config.sessions is None:
        return None
    return config.sessions.model_copy(update={"redis": config.sessions.redis or config.door.redis})


def _may_sleep(config: PlatformConfig) -> dict[str, float]:
    """Names of what scales to zero, and the seconds that a request waits for its first replica."""
    parts: list[ModelConfig | EmbedderConfig | AgentConfig | DeclaredAgent | RerankerConfig]
    parts = [*config.models, config.embedder, config.agent, *config.agents]
    parts += [] if config.reranker is None else [config.reranker]
    asleep = [part for part in parts if part.scaling.min_replicas == 0]
    return {part.name: part.scaling.autoscaler.cold_start_timeout_s for part in asleep}


def _model(config: ModelConfig, folder: Path, tracing: TracingConfig) -> Application:
    name = f"Model-{config.name.replace('/', '-')}"
    made = _queueing(
        VllmDeployment if isinstance(config, VllmModel) else ModelDeployment, name, config.scaling
    )
    if config.affinity != "none":
        made = made.options(request_router_config=_affine_router(config))
    if isinstance(config, VllmModel):
        reserved = {"num_cpus": config.scaling.num_cpus, **device_of(config).resources(config)}
        made = made.options(ray_actor_options=reserved)
    return made.bind(config, folder, tracing)


def _affine_router(config: ModelConfig) -> RequestRouterConfig:
    return RequestRouterConfig(
        request_router_class=AFFINE_ROUTER,  # type: ignore[arg-type]
        request_router_kwargs={"affinity": config.affinity},
    )


def _reranker(config: RerankerConfig, folder: Path, tracing: TracingConfig) -> Application:
    return _queueing(RerankerDeployment, "Reranker", config.scaling).bind(config, folder, tracing)


def _deployment(cls: type, name: str, scaling: ScalingConfig) -> serve.Deployment:
    """A deployment whose requests wait in Serve's own queue, at the callers."""
    return _made(cls, name, scaling, scaling.max_ongoing_requests, scaling.max_queued_requests)


def _queueing(cls: type, name: str, scaling: ScalingConfig) -> serve.Deployment:
    """A deployment whose requests wait inside its replicas (`serve_app.admission`), by priority and age.

    Serve's own limits are only a second line of defence, and wider: replicas say why they refuse. Serve
    counts a call that does not stream as queued at its caller until it ends, so callers get room for all.
    """
    taken = scaling.max_ongoing_requests + scaling.max_queued_requests + _QUEUE_MARGIN
    return _made(cls, name, scaling, taken, taken * scaling.max_replicas)


def _made(
    cls: type, name: str, scaling: ScalingConfig, max_ongoing: int, max_queued: int
) -> serve.Deployment:
    made: serve.Deployment = serve.deployment(
        name=name,
        ray_actor_options={"num_cpus": scaling.num_cpus},
        max_ongoing_requests=max_ongoing,
        max_queued_requests=max_queued,
        graceful_shutdown_timeout_s=scaling.graceful_shutdown_timeout_s,
        max_surge_percent=scaling.max_surge_percent,
        health_check_period_s=scaling.health.check_period_s,
        health_check_timeout_s=scaling.health.answer_within_s,
        request_router_config=_ROUTER_CONFIG,
        # The ingress writes a line for each request; the calls inside the graph need none.
        logging_config={"enable_access_log": False},
        **_replicas(scaling),
    )(cls)
    return made


def _replicas(scaling: ScalingConfig) -> dict[str, Any]:
    if scaling.min_replicas == scaling.max_replicas:
        return {"num_replicas": scaling.min_replicas}
    return {"autoscaling_config": AutoscalingConfig(**serve_autoscaling(scaling))}


def _why_missing(model: ModelConfig, folder: Path) -> str | None:
    if isinstance(model, LlamaCppModel):
        return why_missing(model.weights, folder)
    return presence.why_missing(model, folder) if isinstance(model, VllmModel) else None


def _present(config: PlatformConfig, folder: Path) -> tuple[list[ModelConfig], dict[str, str]]:
    """The models to serve, and name -> reason for the optional ones whose weights are not here."""
    served: list[ModelConfig] = []
    left_out: dict[str, str] = {}
    for model in config.models:
        reason = _why_missing(model, folder)
        if model.optional and reason is not None:
            left_out[model.name] = reason
            logger.warning("%s is left out: %s", model.name, reason)
        else:
            served.append(model)
    return served, left_out
