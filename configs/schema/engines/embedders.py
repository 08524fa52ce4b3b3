"""Embedding models, by engine."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from configs.schema.base import Name, SecretRef, Strict, Url
from configs.schema.engines.weights import CatalogueWeights, Weights
from configs.schema.scaling import ScalingConfig


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
    ms_per_text: float = Field(
        default=0.0, ge=0, description="Time for each text, in milliseconds, one text after the other."
    )


class LocalEmbedder(EmbedderBase):
    """What every embedding model in process has."""

    weights: Weights = Field(description="Where the model comes from.")
    context_tokens: int | None = Field(
        default=None, ge=8, description="Longest text, in tokens; None: what the model was trained with."
    )
    num_threads: int | None = Field(
        default=None, ge=1, description="Threads of the engine; None: the deployment's CPUs."
    )

    @property
    def planned_threads(self) -> int:
        """Threads that the engine of a replica will have."""
        return self.num_threads or max(1, int(self.scaling.num_cpus))


class LlamaCppEmbedder(LocalEmbedder):
    """A GGUF embedding model on llama.cpp."""

    engine: Literal["llamacpp"]
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
    reproducible: bool = Field(
        default=False,
        description="Compute so that a text's vector is the same within 1e-6 whatever it was batched with. Costs "
        "short texts about a third of their speed, long ones nothing; without it vectors differ by 1e-5 in cosine.",
    )

    @model_validator(mode="after")
    def _batches(self) -> LlamaCppEmbedder:
        if self.max_batch_tokens % self.ubatch_tokens:
            raise ValueError(
                f"max_batch_tokens {self.max_batch_tokens} is no multiple of ubatch_tokens {self.ubatch_tokens}"
            )
        return self


class OnnxEmbedder(LocalEmbedder):
    """An embedding model on ONNX Runtime, in F32."""

    engine: Literal["onnx"]
    weights: CatalogueWeights = Field(
        description="A model of the catalogue that comes as original weights: the graph is made of them."
    )
    max_batch_tokens: int = Field(
        default=2048,
        ge=64,
        description="Tokens taken from the queue at once: shared among the callers, then cut into steps.",
    )
    max_step_tokens: int = Field(
        default=256,
        ge=32,
        description="Tokens of one step, padding included; a longer text has one of its own. Small is fast.",
    )


class AutoEmbedder(LocalEmbedder):
    """An embedding model on whichever engine is the fastest on this machine: measured once, and kept."""

    engine: Literal["auto"]


class ExternalEmbedder(EmbedderBase):
    """An embedding model behind somebody else's OpenAI-compatible endpoint."""

    engine: Literal["external"]
    base_url: Url = Field(description="Up to and with `/v1`.")
    upstream_model: Name = Field(description="The model's name over there.")
    dim: int = Field(ge=8, le=8192, description="Dimension of the vectors; another one is refused.")
    context_tokens: int = Field(ge=8, description="Longest text, in tokens.")
    api_key: SecretRef | None = Field(default=None, description="Sent as bearer token.")
    connect_timeout_s: float = Field(default=5.0, gt=0, description="Seconds to wait for a connection.")


EmbedderConfig = Annotated[
    MockEmbedder | LlamaCppEmbedder | OnnxEmbedder | AutoEmbedder | ExternalEmbedder,
    Field(discriminator="engine"),
]
