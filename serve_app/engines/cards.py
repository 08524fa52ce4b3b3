"""Cards of models from their configuration alone, for callers that must not wait for an engine."""

from __future__ import annotations

from configs.schema import (
    AgentConfig,
    DeclaredAgent,
    EmbedderConfig,
    ExtractiveModel,
    LlamaCppModel,
    MockModel,
    ModelConfig,
    RerankerConfig,
    ScalingConfig,
    VllmModel,
)
from serve_app.messages import Endpoint, ModelCard

_TEXT = (Endpoint.CHAT, Endpoint.COMPLETIONS)
_OF_VLLM = {
    "generate": (*_TEXT, Endpoint.RESPONSES, Endpoint.MESSAGES, Endpoint.TOKENIZE, Endpoint.DETOKENIZE),
    "pooling": (
        Endpoint.EMBEDDINGS,
        Endpoint.RERANK,
        Endpoint.SCORE,
        Endpoint.CLASSIFY,
        Endpoint.POOLING,
        Endpoint.TOKENIZE,
        Endpoint.DETOKENIZE,
    ),
}


def model_card(config: ModelConfig) -> ModelCard:
    if isinstance(config, VllmModel):
        return ModelCard(
            name=config.name,
            engine=config.engine,
            endpoints=_OF_VLLM[config.runner],
            context_tokens=config.max_model_len,
            is_generative=config.runner == "generate",
            max_deadline_s=config.max_deadline_s,
            has_own_calls=_has_own_calls(config),
            reads_requests=True,
            serves=_serves(config),
        )
    return ModelCard(
        name=config.name,
        engine=config.engine,
        endpoints=_TEXT,
        context_tokens=getattr(config, "context_tokens", None),
        is_generative=config.engine != "extractive",
        max_deadline_s=config.max_deadline_s,
        has_own_calls=_has_own_calls(config),
        serves=_serves(config),
    )


def _serves(config: ModelConfig) -> dict[str, bool]:
    """As `ModelCard.serves`: what hangs on the weights or on somebody else's server is not told."""
    match config:
        case MockModel():
            return {"tools": True, "json_schema": False, "vision": False}
        case ExtractiveModel():
            return {"tools": False, "json_schema": False, "vision": False}
        case LlamaCppModel():
            by_template = config.tool_dialect == "auto"
            tools = {} if by_template else {"tools": config.tool_dialect != "none"}
            return {**tools, "json_schema": True, "vision": False}
        case VllmModel(runner="generate"):
            return {"tools": config.tool_call_parser is not None, "json_schema": True}
    return {}


def embedder_card(config: EmbedderConfig) -> ModelCard:
    return ModelCard(
        name=config.name,
        engine=config.engine,
        endpoints=(Endpoint.EMBEDDINGS,),
        context_tokens=config.context_tokens,
        dim=getattr(config, "dim", None),
        has_own_calls=_is_scaled_by_calls(config.scaling),
    )


def reranker_card(config: RerankerConfig) -> ModelCard:
    return ModelCard(
        name=config.name,
        engine=config.engine,
        endpoints=(Endpoint.RERANK,),
        context_tokens=getattr(config, "context_tokens", None),
        is_generative=False,
        has_own_calls=_is_scaled_by_calls(config.scaling),
    )


def _has_own_calls(config: ModelConfig) -> bool:
    return config.affinity != "none" or _is_scaled_by_calls(config.scaling)


def _is_scaled_by_calls(scaling: ScalingConfig) -> bool:
    return scaling.autoscaler.policy == "ongoing_requests" and scaling.min_replicas < scaling.max_replicas


def agent_card(config: AgentConfig | DeclaredAgent) -> ModelCard:
    return ModelCard(
        name=config.name,
        engine="agent",
        endpoints=(Endpoint.CHAT,),
        has_own_calls=_is_scaled_by_calls(config.scaling),
    )
