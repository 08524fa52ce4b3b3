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
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ray import serve
from ray.serve import Application
from ray.serve.config import AutoscalingConfig, RequestRouterConfig

from configs.autoscaling import serve_autoscaling
from configs.load import ProfileError, default_profile, home, parse_platform, read_profile
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
from serve_app.errors import ConfigError
from serve_app.ingress.deployment import IngressDeployment
from serve_app.messages import ModelCard
from serve_app.model_cache.cache import why_missing
from serve_app.request_router import ROUTER
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

    models = {model.name: _model(model, folder, config.tracing) for model in served}
    embedder = _queueing(EmbedderDeployment, "Embedder", config.embedder.scaling).bind(
        config.embedder, folder, config.tracing
    )
    rerankers = {} if config.reranker is None else {config.reranker.name: _reranker(config.reranker, folder)}
    knowledge = _deployment(KnowledgeBaseDeployment, "KnowledgeBase", config.knowledge.scaling).bind(
        config.knowledge, folder, embedder, *rerankers.values(), tracing=config.tracing
    )
    cards = {model.name: model_card(model) for model in served}

    descriptions = {one.name: one.description for one in config.agents} | {config.agent.name: _PIPELINE}

    def pipeline(task: Application | None) -> Application:
        return _queueing(AgentDeployment, "Agent", config.agent.scaling).bind(
            config.agent,
            {name: models[name] for name in _agent_models(config) if name in models},
            cards,
            knowledge,
            embedder,
            config.streams,
            sessions=_sessions(config),
            home=folder,
            web_search=config.web_search,
            tracing=config.tracing,
            task=task,
            task_description=None if task is None else descriptions[config.agent.task_agent or ""],
        )

    declared, without_model = _agents(config, models, cards, knowledge, pipeline, descriptions, folder)
    agent = declared.pop(config.agent.name)
    left_out |= without_model
    cards |= {
        config.embedder.name: embedder_card(config.embedder),
        config.agent.name: agent_card(config.agent),
        **{one.name: agent_card(one) for one in config.agents if one.name in declared},
    }
    if config.reranker is not None:
        cards[config.reranker.name] = reranker_card(config.reranker)
    groups, without = group_cards(config.front.groups, cards)
    cards, left_out = cards | groups, left_out | without
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
        agent,
        cards,
        left_out,
        embedder_name=config.embedder.name,
        agent_name=config.agent.name,
        may_sleep=_may_sleep(config),
        door=config.door,
        front=config.front,
        home=folder,
        sessions=_sessions(config),
        tracing=config.tracing,
        declared=declared,
        adaptable=[model.name for model in served if isinstance(model, VllmModel) and model.lora],
        configured=configured_adapters(served),
    )


def _agent_models(config: PlatformConfig) -> tuple[str, ...]:
    """Every chat model that the pipeline's replicas call."""
    return (*config.agent.model_names(), *_summary_model(config))


def _summary_model(config: PlatformConfig) -> tuple[str, ...]:
    """The model that summarises conversations, if there is one."""
    name = None if config.sessions is None else config.sessions.summary_model
    return () if name is None else (name,)


def _agents(
    config: PlatformConfig,
    models: Mapping[str, Application],
    cards: Mapping[str, ModelCard],
    knowledge: Application,
    pipeline: Callable[[Application | None], Application],
    descriptions: Mapping[str, str],
    folder: Path,
) -> tuple[dict[str, Application], dict[str, str]]:
    """The pipeline and the declared agents, each after those that it asks; name -> reason for what is left out."""
    by_name = {agent.name: agent for agent in config.agents}
    bound: dict[str, Application] = {}
    left_out: dict[str, str] = {}
    calls = calls_of(config.agents, config.tools, config.agent.name, config.agent.task_agent)
    for name in order_of_calls(calls):
        if name == config.agent.name:
            bound[name] = pipeline(bound.get(config.agent.task_agent or ""))
            continue
        agent = by_name[name]
        missing = [one for one in calls[name] if one not in bound]
        if agent.model not in models or missing:
            left_out[name] = f"it needs {', '.join(missing) or agent.model}, which is not loaded"
            logger.warning("%s is left out: %s", name, left_out[name])
            continue
        made = _queueing(DeclaredAgentDeployment, f"Agent-{name.replace('/', '-')}", agent.scaling)
        bound[name] = made.bind(
            agent,
            [tool for wanted in agent.tools for tool in config.tools if tool.name == wanted],
            {one: models[one] for one in (agent.model, *_summary_model(config)) if one in models},
            cards,
            knowledge,
            {other: bound[other] for other in calls[name]},
            descriptions,
            config.streams,
            sessions=_sessions(config),
            home=folder,
            tracing=config.tracing,
        )
    return bound, left_out


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
    if not isinstance(config, VllmModel):
        return _queueing(ModelDeployment, name, config.scaling).bind(config, folder, tracing)
    made = _queueing(VllmDeployment, name, config.scaling)
    reserved = {"num_cpus": config.scaling.num_cpus, **device_of(config).resources(config)}
    return made.options(ray_actor_options=reserved).bind(config, folder, tracing)


def _reranker(config: RerankerConfig, folder: Path) -> Application:
    return _queueing(RerankerDeployment, "Reranker", config.scaling).bind(config, folder)


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
        # A check stays open for one period before it is late: see serve_app/health/replica.py.
        health_check_timeout_s=scaling.health.check_period_s + scaling.health.check_timeout_s,
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
