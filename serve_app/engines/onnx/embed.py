"""Embeddings by ONNX Runtime: the same tokens as llama.cpp's, so that the vectors of both can be compared.

The tokenizer is llama.cpp's, opened on the vocabulary of the model's GGUF file.
"""

from __future__ import annotations

from pathlib import Path

from configs.schema import OnnxEmbedder
from serve_app.engines.embedding.embedder import BatchingEmbedder
from serve_app.engines.embedding.limit import kept_limit
from serve_app.engines.llamacpp.library import Model
from serve_app.engines.llamacpp.weights import weights_id
from serve_app.engines.onnx.encoder import OnnxEncoder
from serve_app.errors import ConfigError
from serve_app.messages import Endpoint, ModelCard
from serve_app.model_cache.cache import EncoderFiles, ensure_encoder


def open_onnx_embedder(config: OnnxEmbedder, home: Path, num_cpus: int) -> BatchingEmbedder:
    """The embedder, loaded. Slow: call it off the event loop.

    Raises:
        ConfigError: the weights are missing or broken, or the settings do not fit.
    """
    return open_files(config, ensure_encoder(config.weights, home), num_cpus)


def open_files(config: OnnxEmbedder, files: EncoderFiles, num_cpus: int) -> BatchingEmbedder:
    """The embedder of one model's files; as `open_onnx_embedder`."""
    encoder = OnnxEncoder(files.onnx, config.num_threads or num_cpus, config.max_step_tokens)
    vocabulary = Model(files.gguf, vocabulary_only=True)
    try:
        limit = kept_limit(config, encoder.max_tokens, files.onnx)
        card = ModelCard(
            name=config.name,
            engine="onnx",
            endpoints=(Endpoint.EMBEDDINGS,),
            context_tokens=limit,
            dim=encoder.dim,
            embedding_id=_embedding_id(encoder, vocabulary, files),
        )
    except ConfigError:
        vocabulary.close()
        raise
    window_tokens = max(config.max_batch_tokens, limit)
    return BatchingEmbedder(config, card, vocabulary, encoder.lanes(), window_tokens, vocabulary.close)


def _embedding_id(encoder: OnnxEncoder, vocabulary: Model, files: EncoderFiles) -> str:
    """That of the llama.cpp embedder, whose vectors differ by less than 1e-4 in cosine."""
    found = weights_id(vocabulary)
    if found != f"{encoder.name}-{encoder.source_sha256[:12]}":
        raise ConfigError(f"{files.onnx} and {files.gguf} are not of the same weights")
    return found
