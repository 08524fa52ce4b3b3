"""Reranking by llama.cpp: a cross-encoder whose pooling is `rank` reads question and passage as one text.

Pairs are packed into steps as the embedder packs texts, and run on the same kind of thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import llama_cpp
import numpy as np

from configs.schema import LlamaCppReranker
from serve_app.engines.cards import reranker_card
from serve_app.engines.embedding.base import Tokens
from serve_app.engines.embedding.lanes import Lanes
from serve_app.engines.embedding.limit import kept_limit
from serve_app.engines.embedding.steps import Request, Steps
from serve_app.engines.llamacpp.batching import StepShape, plan_steps, step_shape
from serve_app.engines.llamacpp.library import Batch, Context, Model
from serve_app.engines.llamacpp.pairs import PairTokens
from serve_app.engines.llamacpp.thread import EngineThread
from serve_app.errors import ConfigError, DeadlineExceeded, EngineFailed, Overloaded
from serve_app.health.failures import FailuresInRow
from serve_app.health.progress import Progress
from serve_app.messages import ModelCard, RequestContext, Scores, Vectors
from serve_app.model_cache.cache import ensure

_WINDOW_STEPS = 4  # of the size of `ubatch_tokens`, taken from the queue at once
_MAX_WAITING_TOKENS = 500_000  # beyond it callers are told to wait: nobody waits that long for an order


def open_llamacpp_reranker(config: LlamaCppReranker, home: Path, num_cpus: int) -> LlamaCppPairScorer:
    """The reranker, loaded. Slow: call it off the event loop.

    Raises:
        ConfigError: the weights are missing, broken or no reranker, or the settings do not fit.
    """
    model = Model(ensure(config.weights, home))
    try:
        limit = kept_limit(config, model.context_tokens, model.path)
        encoder = partial(RankEncoder, model, config.ubatch_tokens, limit)
        lanes = Lanes.of(encoder, config.num_threads or num_cpus)
    except ConfigError:
        model.close()
        raise
    return LlamaCppPairScorer(config, model, lanes, limit)


class RankEncoder:
    """An Encoder whose vectors have one number: the pair's score, from 0 to 1."""

    dim = 1

    def __init__(self, model: Model, ubatch_tokens: int, longest_pair: int, num_threads: int) -> None:
        self._shape: StepShape = step_shape(ubatch_tokens, longest_pair)
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
            flash_attn_type=llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED,
        )
        if self._context.pooling_type != llama_cpp.LLAMA_POOLING_TYPE_RANK:
            self._context.close()
            raise ConfigError(
                f"{model.path}: is no reranker: its header does not say that its pooling is rank"
            )
        self._num_classes = model.num_classes

    def plan(self, lengths: Sequence[int], num_lanes: int = 1) -> list[list[int]]:
        return plan_steps(lengths, self._shape, num_lanes)

    def encode(self, texts: Sequence[Tokens]) -> Vectors:
        self._batch.clear()
        self._context.forget()
        for sequence, tokens in enumerate(texts):
            self._batch.add(tokens, sequence, 0, outputs=slice(None))
        self._context.decode(self._batch)
        return np.array([[self._score(sequence)] for sequence in range(len(texts))], np.float32)

    def close(self) -> None:
        self._context.close()

    def _score(self, sequence: int) -> float:
        raw = float(self._context.ranks(sequence, self._num_classes)[0])
        # One class is a logit. Of several llama.cpp has made probabilities, the first of them "yes".
        return raw if self._num_classes > 1 else 1.0 / (1.0 + float(np.exp(-np.clip(raw, -60.0, 60.0))))


class LlamaCppPairScorer:
    """A PairScorer."""

    def __init__(self, config: LlamaCppReranker, model: Model, lanes: Lanes, limit: int) -> None:
        self._name = config.name
        self._card = replace(reranker_card(config), context_tokens=limit)
        self._model = model
        self._tokens = PairTokens(model, limit)
        health = config.scaling.health
        self._failures = FailuresInRow(config.name, health.max_failures)
        progress = Progress(config.name, health.max_step_s)
        window_tokens = max(_WINDOW_STEPS * config.ubatch_tokens, limit)
        steps = Steps(lanes, window_tokens, progress, self._failures, _checked)
        self._num_waiting_tokens = 0
        self._tokenizers = ThreadPoolExecutor(1, thread_name_prefix=f"tokenize-{config.name}")
        self._thread: EngineThread[Request] = EngineThread(config.name, steps.work, lanes.close, progress)

    def card(self) -> ModelCard:
        return self._card

    async def rerank(self, query: str, passages: Sequence[str], context: RequestContext) -> Scores:
        self._thread.check()
        try:
            async with asyncio.timeout(context.deadline.remaining_s()):
                return await self._rerank(query, passages, context)
        except TimeoutError as exc:
            raise DeadlineExceeded(
                f"the request's time was over at: rerank ({self._name})", "rerank"
            ) from exc

    async def check_health(self) -> None:
        self._thread.check()
        self._failures.check()

    async def close(self) -> None:
        if await self._thread.close():
            await asyncio.to_thread(self._tokenizers.shutdown)
            self._model.close()

    async def _rerank(self, query: str, passages: Sequence[str], context: RequestContext) -> Scores:
        loop = asyncio.get_running_loop()
        pairs = await loop.run_in_executor(self._tokenizers, self._tokens.prepare, query, passages)
        scores = np.empty((len(passages), 1), dtype=np.float32)
        request = Request(pairs.tokens, scores, context.deadline, loop, loop.create_future())
        num_tokens = sum(request.lengths)
        if self._num_waiting_tokens and self._num_waiting_tokens + num_tokens > _MAX_WAITING_TOKENS:
            raise Overloaded(f"{self._name} has {self._num_waiting_tokens} tokens waiting", 2.0)
        self._num_waiting_tokens += num_tokens
        try:
            self._thread.submit(request)
            await request.future
        finally:
            request.is_over = True
            self._num_waiting_tokens -= num_tokens
        return Scores(tuple(map(float, scores[:, 0])), num_tokens, pairs.num_truncated)


def _checked(score: Vectors) -> Vectors:
    if not np.isfinite(score).all():
        raise EngineFailed("the model gave a score that is not finite")
    return score
