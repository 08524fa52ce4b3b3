"""Which engine a model's configuration means. Each branch imports what it needs, when it is taken.

So naming an engine costs nothing, and one that is not installed fails at start with the command
that installs it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from configs.schema import (
    AutoEmbedder,
    EmbedderConfig,
    ExternalEmbedder,
    ExtractiveModel,
    LlamaCppEmbedder,
    LlamaCppModel,
    LlamaCppReranker,
    MockEmbedder,
    MockModel,
    MockReranker,
    ModelConfig,
    OnnxEmbedder,
    RerankerConfig,
    VllmModel,
)
from serve_app.engines.base import EmbeddingEngine, ModelEngine
from serve_app.engines.embedding_edge import EmbeddingEdge
from serve_app.engines.rerank.base import RerankEngine
from serve_app.engines.rerank.edge import RerankEdge
from serve_app.engines.text_edge import TextEdge
from serve_app.engines.threads import share_cpus
from serve_app.errors import ConfigError
from serve_app.telemetry.metrics import Count, count_nothing


def open_model(config: ModelConfig, home: Path, num_cpus: int, count: Count = count_nothing) -> ModelEngine:
    """The engine of a chat model, loaded and ready. Slow: weights are read here.

    Args:
        config: the model.
        home: where weights are kept.
        num_cpus: threads to use where the configuration names none.
        count: adds to the application's counters.

    Raises:
        ConfigError: the engine is not installed, or its weights are missing or broken.
    """
    if isinstance(config, MockModel):
        from serve_app.engines.mock import MockGenerator

        return TextEdge(MockGenerator(config), count)
    if isinstance(config, ExtractiveModel):
        from serve_app.engines.extractive import ExtractiveGenerator

        return TextEdge(ExtractiveGenerator(config), count)
    if isinstance(config, LlamaCppModel):
        with _needs("llama_cpp", "pip install llama-cpp-python==0.3.36"):
            from serve_app.engines.llamacpp.chat import open_llamacpp_chat
        return TextEdge(open_llamacpp_chat(config, home, num_cpus, count), count)
    if isinstance(config, VllmModel):
        from serve_app.engines.vllm.start import open_vllm

        return open_vllm(config, home, num_cpus)
    from serve_app.engines.external import ExternalEngine

    return ExternalEngine(config)


def open_embedder(config: EmbedderConfig, home: Path, num_cpus: int) -> EmbeddingEngine:
    """The engine of the embedding model; as `open_model`."""
    share_cpus()
    if isinstance(config, MockEmbedder):
        from serve_app.engines.mock import MockTextEmbedder

        return EmbeddingEdge(MockTextEmbedder(config))
    if isinstance(config, LlamaCppEmbedder):
        with _needs("llama_cpp", "pip install llama-cpp-python==0.3.36"):
            from serve_app.engines.llamacpp.embed import open_llamacpp_embedder
        return EmbeddingEdge(open_llamacpp_embedder(config, home, num_cpus))
    if isinstance(config, OnnxEmbedder):
        with _needs("onnxruntime", "pip install onnxruntime"):
            from serve_app.engines.onnx.embed import open_onnx_embedder
        return EmbeddingEdge(open_onnx_embedder(config, home, num_cpus))
    if isinstance(config, AutoEmbedder):
        from serve_app.engines.embedding.fastest import open_fastest_embedder

        return EmbeddingEdge(open_fastest_embedder(config, home, num_cpus))
    assert isinstance(config, ExternalEmbedder)
    from serve_app.engines.external import ExternalTextEmbedder

    return EmbeddingEdge(ExternalTextEmbedder(config))


def open_reranker(config: RerankerConfig, home: Path, num_cpus: int) -> RerankEngine:
    """The engine of the reranking model; as `open_model`."""
    if isinstance(config, MockReranker):
        from serve_app.engines.rerank.mock import MockPairScorer

        return RerankEdge(MockPairScorer(config))
    if isinstance(config, LlamaCppReranker):
        share_cpus()
        with _needs("llama_cpp", "pip install llama-cpp-python==0.3.36"):
            from serve_app.engines.llamacpp.rerank import open_llamacpp_reranker
        return RerankEdge(open_llamacpp_reranker(config, home, num_cpus))
    from serve_app.engines.rerank.external import ExternalPairScorer

    return RerankEdge(ExternalPairScorer(config))


@contextmanager
def _needs(module: str, command: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as exc:
        if exc.name != module:
            raise
        raise ConfigError(
            f"the engine needs {module}, which is not installed; install it with: {command}"
        ) from exc
