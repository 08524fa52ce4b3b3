"""Embeddings by llama.cpp: an encoder whose steps hold whole texts, one after the other, without padding."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import llama_cpp
import numpy as np

from configs.schema import LlamaCppEmbedder
from serve_app.engines.embedding.base import Tokens
from serve_app.engines.embedding.embedder import BatchingEmbedder
from serve_app.engines.embedding.lanes import Lanes
from serve_app.engines.embedding.limit import kept_limit
from serve_app.engines.llamacpp.batching import Layout, plan_steps, step_shape
from serve_app.engines.llamacpp.library import Batch, Context, Model
from serve_app.engines.llamacpp.weights import weights_id
from serve_app.errors import ConfigError
from serve_app.messages import Endpoint, ModelCard, Vectors
from serve_app.model_cache.cache import ensure

_POOLED = (
    llama_cpp.LLAMA_POOLING_TYPE_MEAN,
    llama_cpp.LLAMA_POOLING_TYPE_CLS,
    llama_cpp.LLAMA_POOLING_TYPE_LAST,
)
_FILLER = 0  # any token: nobody looks at what becomes of it


def open_llamacpp_embedder(config: LlamaCppEmbedder, home: Path, num_cpus: int) -> BatchingEmbedder:
    """The embedder, loaded. Slow: call it off the event loop.

    Raises:
        ConfigError: the weights are missing, broken or no embedding model, or the settings do not fit.
    """
    return open_weights(config, ensure(config.weights, home), num_cpus)


def open_weights(config: LlamaCppEmbedder, path: Path, num_cpus: int) -> BatchingEmbedder:
    """The embedder of one GGUF file, whatever the configuration's own are; as `open_llamacpp_embedder`."""
    model = Model(path)
    try:
        limit = kept_limit(config, model.context_tokens, path)
        lanes = llamacpp_lanes(model, config, limit, config.num_threads or num_cpus)
    except ConfigError:
        model.close()
        raise
    card = ModelCard(
        name=config.name,
        engine="llamacpp",
        endpoints=(Endpoint.EMBEDDINGS,),
        context_tokens=limit,
        dim=model.dim,
        embedding_id=weights_id(model),
    )
    window_tokens = max(config.max_batch_tokens, limit)
    return BatchingEmbedder(config, card, model, lanes, window_tokens, model.close)


def llamacpp_lanes(model: Model, config: LlamaCppEmbedder, longest_text: int, num_threads: int) -> Lanes:
    """The encoders of a model, which share its weights; raises as LlamaCppEncoder does."""
    return Lanes.of(partial(LlamaCppEncoder, model, config, longest_text), num_threads)


class LlamaCppEncoder:
    """An Encoder."""

    def __init__(self, model: Model, config: LlamaCppEmbedder, longest_text: int, num_threads: int) -> None:
        self.dim = model.dim
        self._shape = step_shape(config.ubatch_tokens, longest_text, reproducible=config.reproducible)
        self.max_tokens = self._shape.max_tokens
        self._batch = Batch(self.max_tokens)
        self._context = Context(
            model,
            num_threads,
            n_ctx=self.max_tokens,
            n_batch=self.max_tokens,
            n_ubatch=self.max_tokens,
            n_seq_max=self._shape.max_sequences,
            kv_unified=True,
            embeddings=True,
            # Without it attention is quadratic in all tokens of a step, and batching makes it slower.
            flash_attn_type=llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED,
        )
        if self._context.pooling_type not in _POOLED:
            self._context.close()
            raise ConfigError(f"{model.path}: is no embedding model: it does not say how to pool its vectors")

    def plan(self, lengths: Sequence[int], num_lanes: int = 1) -> list[list[int]]:
        return plan_steps(lengths, self._shape, num_lanes)

    def encode(self, texts: Sequence[Tokens]) -> Vectors:
        self._batch.clear()
        self._context.forget()
        layout = Layout(self._shape)
        for sequence, tokens in enumerate(texts):
            self._fill(layout.gap_before(len(tokens)))
            self._batch.add(tokens, sequence, 0, outputs=slice(None))
            layout.add(len(tokens))
        self._fill(layout.gap_at_end())
        self._context.decode(self._batch)
        return np.stack([self._context.embedding(sequence) for sequence in range(len(texts))])

    def close(self) -> None:
        self._context.close()

    def _fill(self, num_tokens: int) -> None:
        filler = np.full(1, _FILLER, dtype=np.int32)
        for _ in range(num_tokens):
            self._batch.add(filler, self._shape.filler_sequence, 0, outputs=slice(None))
