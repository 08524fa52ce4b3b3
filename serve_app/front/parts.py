"""The steps that a configuration describes. Imports what is configured, and no more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping

from configs.schema import AnswerCacheConfig, FrontConfig, RedisConfig
from serve_app.agent.base import AgentClient
from serve_app.agents.base import DeclaredAgentClient
from serve_app.answer_cache.base import AnswerStore, Vector
from serve_app.answer_cache.cache import AnswerCache
from serve_app.answer_cache.embedded import EmbeddedAnswers
from serve_app.engines.base import EmbeddingClient
from serve_app.front.base import Front, Step
from serve_app.guards.agent import GuardedAgent, GuardedDeclaredAgent
from serve_app.guards.policy import Policies
from serve_app.guards.step import Guards
from serve_app.messages import ModelCard, RequestContext
from serve_app.retrieval.base import KnowledgeClient
from serve_app.routing.router import Router
from serve_app.telemetry.metrics import Count


def open_front(
    config: FrontConfig,
    cards: Mapping[str, ModelCard],
    count: Count,
    *,
    agents: Collection[str] = (),
    embedder: EmbeddingClient | None = None,
    knowledge: KnowledgeClient | None = None,
    redis: RedisConfig | None = None,
) -> Front | None:
    """The steps; None: the configuration has none.

    Args:
        cards: of all chat models that are served here.
        agents: names of agents.
        embedder, knowledge: for a semantic cache, and for agents' answers in a cache.
        redis: the door's.

    Raises:
        ConfigError: Redis' password is not set.
    """
    if not config.is_on:
        return None
    steps: list[Step] = []
    guards = None
    if config.guards is not None:
        guards = Guards(Policies(config.guards), config.guards.injection_at, agents, count)
        steps.append(guards)
    closing: list[Callable[[], Awaitable[None]]] = []
    if config.cache is not None:
        cache = AnswerCache(
            config.cache,
            _store(config.cache, redis),
            agents=agents,
            embed=None if embedder is None else _embed(embedder),
            generation=None if knowledge is None else _generation(knowledge),
            count=count,
        )
        steps.append(cache)
        closing.append(cache.close)
    if config.groups:
        steps.append(Router(config.groups, cards, count))
    return Front(steps, closing, guard=guards)


def guarded_agent(agent: AgentClient, config: FrontConfig, count: Count) -> AgentClient:
    """The agent, with its answers guarded where guards are configured."""
    return agent if config.guards is None else GuardedAgent(agent, Policies(config.guards), count)


def guarded_declared_agent(
    agent: DeclaredAgentClient, config: FrontConfig, count: Count
) -> DeclaredAgentClient:
    """Likewise, of an agent whose runs can pause."""
    return agent if config.guards is None else GuardedDeclaredAgent(agent, Policies(config.guards), count)


def _store(config: AnswerCacheConfig, redis: RedisConfig | None) -> AnswerStore:
    max_questions = 1 if config.semantic is None else config.semantic.max_questions
    if config.store == "embedded":
        return EmbeddedAnswers(config.max_bytes, max_questions)
    from serve_app.answer_cache.redis_answers import RedisAnswers
    from serve_app.redis_client import open_redis

    assert redis is not None  # the schema sees to it
    return RedisAnswers(open_redis(redis), redis.prefix, max_questions)


def _embed(embedder: EmbeddingClient) -> Callable[[str, RequestContext], Awaitable[Vector]]:
    async def embed(text: str, context: RequestContext) -> Vector:
        vector: Vector = (await embedder.embed([text], context)).vectors[0]
        return vector

    return embed


def _generation(knowledge: KnowledgeClient) -> Callable[[RequestContext], Awaitable[str]]:
    async def generation(context: RequestContext) -> str:
        status = await knowledge.status(context)
        return f"{status.store}:{status.embedding_id}:{status.generation}"

    return generation
