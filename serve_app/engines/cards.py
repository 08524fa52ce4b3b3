"""Cards of models from their configuration alone, for callers that must not wait for an engine."""

from __future__ import annotations

from configs.schema import AgentConfig, EmbedderConfig, ModelConfig, RerankerConfig
from serve_app.messages import Endpoint, ModelCard

_TEXT = (Endpoint.CHAT, Endpoint.COMPLETIONS)


def model_card(config: ModelConfig) -> ModelCard:
    return ModelCard(
        name=config.name,
        engine=config.engine,
        endpoints=_TEXT,
        context_tokens=getattr(config, "context_tokens", None),
        is_generative=config.engine != "extractive",
        max_deadline_s=config.max_deadline_s,
    )


def embedder_card(config: EmbedderConfig) -> ModelCard:
    return ModelCard(
        name=config.name,
        engine=config.engine,
        endpoints=(Endpoint.EMBEDDINGS,),
        context_tokens=config.context_tokens,
        dim=getattr(config, "dim", None),
    )


def reranker_card(config: RerankerConfig) -> ModelCard:
    return ModelCard(
        name=config.name,
        engine=config.engine,
        endpoints=(Endpoint.RERANK,),
        context_tokens=getattr(config, "context_tokens", None),
        is_generative=False,
    )


def agent_card(config: AgentConfig) -> ModelCard:
    return ModelCard(name=config.name, engine="agent", endpoints=(Endpoint.CHAT,))
