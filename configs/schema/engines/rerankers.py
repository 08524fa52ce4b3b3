"""Reranking models, by engine."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from configs.schema.base import Name, SecretRef, Strict, Url
from configs.schema.engines.weights import FileWeights, HubWeights
from configs.schema.scaling import ScalingConfig


class RerankerBase(Strict):
    """What every reranking model has."""

    name: Name = Field(description="What clients write into `model`.")
    scaling: ScalingConfig = Field(default=ScalingConfig(), description="Replicas and limits.")


class MockReranker(RerankerBase):
    """Scores a passage by the part of the question's words that it has: for tests of what is around engines."""

    engine: Literal["mock"]
    context_tokens: int = Field(default=512, ge=8, description="Question and passage together, in tokens.")
    ms_per_passage: float = Field(default=0.0, ge=0, description="Time for each passage, in milliseconds.")


class LlamaCppReranker(RerankerBase):
    """A GGUF cross-encoder on llama.cpp: a file whose header says that its pooling is `rank`."""

    engine: Literal["llamacpp"]
    weights: FileWeights | HubWeights = Field(description="Where the GGUF file comes from.")
    context_tokens: int | None = Field(
        default=None,
        ge=8,
        description="Question and passage together, in tokens; None: what the model was trained with.",
    )
    ubatch_tokens: int = Field(
        default=512, ge=32, description="Tokens of one call of llama.cpp, at least the longest pair."
    )
    num_threads: int | None = Field(
        default=None, ge=1, description="Threads of the engine; None: the deployment's CPUs."
    )


class ExternalReranker(RerankerBase):
    """A reranking model behind somebody else's `/v1/rerank`: vLLM, Text Embeddings Inference behind a gateway, Jina."""

    engine: Literal["external"]
    base_url: Url = Field(description="Up to and with `/v1`.")
    upstream_model: Name = Field(description="The model's name over there.")
    api_key: SecretRef | None = Field(default=None, description="Sent as bearer token.")
    connect_timeout_s: float = Field(default=2.0, gt=0, description="Seconds to wait for a connection.")


RerankerConfig = Annotated[MockReranker | LlamaCppReranker | ExternalReranker, Field(discriminator="engine")]
