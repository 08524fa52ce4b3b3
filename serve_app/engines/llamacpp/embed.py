"""Embeddings by llama.cpp: texts of all callers, packed into steps of a few hundred tokens.

One thread owns the engine. Callers tokenise on a small pool beside it, wait on a future, and are
forgotten before their next step when they leave or their time is over.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from configs.schema import LlamaCppEmbedder
from serve_app.engines.llamacpp.batching import StepShape, plan_steps, step_shape, take_window
from serve_app.engines.llamacpp.library import Batch, Context, Model
from serve_app.engines.llamacpp.thread import EngineThread, call_in
from serve_app.engines.llamacpp.tokens import TextTokens
from serve_app.engines.llamacpp.weights import weights_id
from serve_app.errors import ConfigError, DeadlineExceeded, EngineFailed, MantaError, Overloaded
from serve_app.health.canary import Canary, same_direction
from serve_app.health.failures import FailuresInRow
from serve_app.health.progress import Progress
from serve_app.messages import Deadline, Embeddings, Endpoint, ModelCard, RequestContext, Vectors
from serve_app.model_cache.cache import ensure

logger = logging.getLogger("manta.llamacpp")

T = TypeVar("T")

_CANARY_TEXT = "The quick brown fox"  # any text does
_CANARY_TIMEOUT_S = 2.0  # a model that needs longer goes without one: who asks for health shall not wait
# Tokens of all callers that may wait: minutes of work, and 8 MB. Beyond it callers are told to wait.
_MAX_WAITING_TOKENS = 2_000_000
_POOLED = (
    llama_cpp.LLAMA_POOLING_TYPE_MEAN,
    llama_cpp.LLAMA_POOLING_TYPE_CLS,
    llama_cpp.LLAMA_POOLING_TYPE_LAST,
)


def open_llamacpp_embedder(config: LlamaCppEmbedder, home: Path, num_cpus: int) -> LlamaCppTextEmbedder:
    """The embedder, loaded. Slow: call it off the event loop.

    Raises:
        ConfigError: the weights are missing, broken or no embedding model, or the settings do not fit.
    """
    path = ensure(config.weights, home)
    model = Model(path)
    try:
        return LlamaCppTextEmbedder(config, model, num_cpus)
    except ConfigError:
        model.close()
        raise


@dataclass(eq=False, slots=True)
class _Request:
    """Texts of one caller on their way through the engine."""

    tokens: list[NDArray[np.int32]]
    vectors: Vectors
    deadline: Deadline
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[None]
    lengths: list[int] = field(init=False)
    num_taken: int = 0  # texts that went into a step, from the front
    is_over: bool = False  # set by whoever is first: the caller who left, or the engine

    def __post_init__(self) -> None:
        self.lengths = [len(tokens) for tokens in self.tokens]

    def fail(self, error: MantaError) -> None:
        self.is_over = True
        call_in(self.loop, lambda: None if self.future.done() else self.future.set_exception(error))

    def finish(self) -> None:
        self.is_over = True
        call_in(self.loop, lambda: None if self.future.done() else self.future.set_result(None))


class LlamaCppTextEmbedder:
    """A TextEmbedder."""

    def __init__(self, config: LlamaCppEmbedder, model: Model, num_cpus: int) -> None:
        self._config = config
        self._model = model
        self._limit = _limit(config, model)
        self._tokens = TextTokens(model, config.name, self._limit, config.query_prefix)
        health = config.scaling.health
        self._failures = FailuresInRow(config.name, health.max_failures)
        self._canary: Canary[Vectors] = Canary(config.name, health.canary_period_s, same_direction)
        progress = Progress(config.name, health.max_step_s)
        self._steps = _Steps(
            model, config, self._limit, config.num_threads or num_cpus, progress, self._failures
        )
        self._card = ModelCard(
            name=config.name,
            engine="llamacpp",
            endpoints=(Endpoint.EMBEDDINGS,),
            context_tokens=self._limit,
            dim=model.dim,
            embedding_id=weights_id(model),
        )
        self._num_waiting_tokens = 0
        self._tokenizers = ThreadPoolExecutor(2, thread_name_prefix=f"tokenize-{config.name}")
        self._thread: EngineThread[_Request] = EngineThread(
            config.name, self._steps.work, self._steps.close, progress
        )

    def card(self) -> ModelCard:
        return self._card

    async def embed(
        self,
        texts: Sequence[str] | Sequence[Sequence[int]],
        context: RequestContext,
        *,
        is_query: bool = False,
        truncate: bool = False,
    ) -> Embeddings:
        context.deadline.check("embed")
        self._thread.check()
        try:
            async with asyncio.timeout(context.deadline.remaining_s()):
                return await self._embed(texts, context, is_query=is_query, truncate=truncate)
        except TimeoutError as exc:
            raise DeadlineExceeded(
                f"the request's time was over at: embed ({self._config.name})", "embed"
            ) from exc

    async def count_tokens(self, texts: Sequence[str], context: RequestContext) -> list[int]:
        self._thread.check()
        return await self._in_pool(lambda: [self._tokens.count(text) for text in texts])

    async def check_health(self) -> None:
        self._thread.check()
        if self._canary.is_due() and not self._num_waiting_tokens:
            await self._ask_canary()
        self._failures.check()
        self._canary.check()

    async def _ask_canary(self) -> None:
        self._canary.asked()
        context = RequestContext("canary", "canary", Deadline.after(_CANARY_TIMEOUT_S))
        try:
            self._canary.answered((await self.embed([_CANARY_TEXT], context)).vectors[0])
        except MantaError as exc:
            # No answer says nothing: it came too late, or failed, which is counted where it failed.
            logger.debug("the canary of %s has no answer: %s", self._config.name, exc)

    async def close(self) -> None:
        if not await self._thread.close():
            return
        # Tokenising reads the model: it must be over before the model goes.
        await asyncio.to_thread(self._tokenizers.shutdown)
        self._model.close()

    async def _embed(
        self,
        texts: Sequence[str] | Sequence[Sequence[int]],
        context: RequestContext,
        *,
        is_query: bool,
        truncate: bool,
    ) -> Embeddings:
        prepared = await self._in_pool(
            lambda: self._tokens.prepare(texts, is_query=is_query, truncate=truncate)
        )
        loop = asyncio.get_running_loop()
        vectors = np.empty((len(texts), self._model.dim), dtype=np.float32)
        if not prepared.tokens:
            return Embeddings(vectors, ())
        request = _Request(prepared.tokens, vectors, context.deadline, loop, loop.create_future())
        num_tokens = sum(request.lengths)
        if self._num_waiting_tokens and self._num_waiting_tokens + num_tokens > _MAX_WAITING_TOKENS:
            raise Overloaded(f"{self._config.name} has {self._num_waiting_tokens} tokens waiting", 5.0)
        self._num_waiting_tokens += num_tokens
        try:
            self._thread.submit(request)
            await request.future
        finally:
            request.is_over = True
            self._num_waiting_tokens -= num_tokens
        return Embeddings(vectors, tuple(request.lengths), prepared.num_truncated)

    async def _in_pool(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._tokenizers, work)


class _Steps:
    """What the engine's thread does."""

    def __init__(
        self,
        model: Model,
        config: LlamaCppEmbedder,
        longest_text: int,
        num_threads: int,
        progress: Progress,
        failures: FailuresInRow,
    ) -> None:
        self._progress = progress
        self._failures = failures
        self._shape: StepShape = step_shape(config.ubatch_tokens, longest_text)
        self._window_tokens = max(config.max_batch_tokens, self._shape.max_tokens)
        self._batch = Batch(self._shape.max_tokens)
        self._context = Context(
            model,
            num_threads,
            n_ctx=self._shape.max_tokens,
            n_batch=self._shape.max_tokens,
            n_ubatch=self._shape.max_tokens,
            n_seq_max=self._shape.max_sequences,
            kv_unified=True,
            embeddings=True,
            # Without it attention is quadratic in all tokens of a step, and batching makes it slower.
            flash_attn_type=llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED,
        )
        if self._context.pooling_type not in _POOLED:
            self._context.close()
            raise ConfigError(f"{model.path}: is no embedding model: it does not say how to pool its vectors")

    def work(self, waiting: list[_Request]) -> None:
        _drop_expired(waiting)
        # No window has more texts than tokens, so no more of a long request need be looked at.
        ahead = [r.lengths[r.num_taken : r.num_taken + self._window_tokens] for r in waiting]
        window: list[tuple[_Request, int]] = []
        for request, count in zip(waiting, take_window(ahead, self._window_tokens), strict=True):
            window += [(request, request.num_taken + offset) for offset in range(count)]
            request.num_taken += count
        for step in plan_steps([request.lengths[index] for request, index in window], self._shape):
            self._progress.begin()
            self._run([window[at] for at in step])
        for request in waiting:
            if not request.is_over and request.num_taken == len(request.lengths):
                request.finish()
        _drop_expired(waiting)

    def close(self) -> None:
        self._context.close()

    def _run(self, texts: list[tuple[_Request, int]]) -> None:
        wanted = [(request, index) for request, index in texts if not request.is_over]
        if not wanted:
            return
        self._batch.clear()
        self._context.forget()
        for sequence, (request, index) in enumerate(wanted):
            self._batch.add(request.tokens[index], sequence, 0, outputs=slice(None))
        try:
            self._context.decode(self._batch)
        except EngineFailed as exc:
            self._failures.failed(exc.message)
            for request, _ in wanted:
                request.fail(exc)
            return
        for sequence, (request, index) in enumerate(wanted):
            try:
                request.vectors[index] = _normalised(self._context.embedding(sequence))
            except EngineFailed as exc:
                # The others of the step may be as good as ever.
                self._failures.failed(exc.message)
                request.fail(exc)
            else:
                self._failures.succeeded()


def _drop_expired(waiting: list[_Request]) -> None:
    for request in waiting:
        if not request.is_over and request.deadline.remaining_s() <= 0:
            request.fail(DeadlineExceeded("the request's time was over at: embed queue", "embed"))
    waiting[:] = [request for request in waiting if not request.is_over]


def _normalised(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """Raises EngineFailed rather than give a vector that would poison an index."""
    norm = float(np.linalg.norm(vector.astype(np.float64)))
    if not np.isfinite(norm) or norm == 0.0:
        raise EngineFailed(f"the model gave a vector of norm {norm}")
    return (vector / np.float32(norm)).astype(np.float32)


def _limit(config: LlamaCppEmbedder, model: Model) -> int:
    if config.context_tokens is None:
        return model.context_tokens
    if config.context_tokens > model.context_tokens:
        raise ConfigError(
            f"embedder {config.name}: context_tokens {config.context_tokens} is above the "
            f"{model.context_tokens} of {model.path.name}"
        )
    return config.context_tokens
