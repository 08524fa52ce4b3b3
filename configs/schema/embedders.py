"""Embedding models, by engine."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from configs.schema.base import Name, SecretRef, Strict, Url
from configs.schema.scaling import ScalingConfig
from configs.schema.weights import Weights


class EmbedderBase(Strict):
    """What every embedding model has."""

    name: Name = Field(description="What clients write into `model`.")
    query_prefix: str = Field(
        default="", description="Put before queries, not before passages, by asymmetric models."
    )
    scaling: ScalingConfig = Field(default=ScalingConfig(), description="Replicas and limits.")


class MockEmbedder(EmbedderBase):
    """Hashes words into vectors: equal texts get equal vectors, texts that share words are near."""

    engine: Literal["mock"]
    dim: int = Field(default=64, ge=8, le=8192, description="Dimension of the vectors.")
    context_tokens: int = Field(default=256, ge=8, description="Longest text, in tokens.")


class LlamaCppEmbedder(EmbedderBase):
    """A GGUF embedding model on llama.cpp, in process."""

    engine: Literal["llamacpp"]
    weights: Weights = Field(description="Where the GGUF file comes from.")
    context_tokens: int | None = Field(
        default=None, ge=8, description="Longest text, in tokens; None: what the model was trained with."
    )
    max_batch_tokens: int = Field(
        default=2048,
        ge=64,
        description="Tokens taken from the queue at once: shared among the callers, then cut into steps.",
    )
    ubatch_tokens: int = Field(
        default=256,
        ge=32,
        description="Tokens of one call of llama.cpp, at least the longest text; small is fast.",
    )
    num_threads: int | None = Field(
        default=None, ge=1, description="Threads of the engine; None: the deployment's CPUs."
    )

    @model_validator(mode="after")
    def _batches(self) -> LlamaCppEmbedder:
        if self.max_batch_tokens % self.ubatch_tokens:
            raise ValueError(
                f"max_batch_tokens {self.max_batch_tokens} is no multiple of ubatch_tokens {self.ubatch_tokens}"
            )
        return self


class ExternalEmbedder(EmbedderBase):
    """An embedding model behind somebody else's OpenAI-compatible endpoint."""

    engine: Literal["external"]
    base_url: Url = Field(description="Up to and with `/v1`.")
    upstream_model: Name = Field(description="The model's name over there.")
    dim: int = Field(ge=8, le=8192, description="Dimension of the vectors; another one is refused.")
    context_tokens: int = Field(ge=8, description="Longest text, in tokens.")
    api_key: SecretRef | None = Field(default=None, description="Sent as bearer token.")
    connect_timeout_s: float = Field(default=5.0, gt=0, description="Seconds to wait for a connection.")


EmbedderConfig = Annotated[MockEmbedder | LlamaCppEmbedder | ExternalEmbedder, Field(discriminator="engine")]
