"""A TextEmbedder over an encoder: texts of all callers share its steps.

One thread owns the encoders. Callers tokenise on a small pool beside it, wait on a future, and are forgotten
before their next step when they leave or their time is over. Knows nothing of the library that computes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from configs.schema import EmbedderBase
from serve_app.engines.embedding.base import Tokenizer
from serve_app.engines.embedding.lanes import Lanes
from serve_app.engines.embedding.steps import Request, Steps
from serve_app.engines.embedding.tokens import TextTokens
from serve_app.engines.llamacpp.thread import EngineThread
from serve_app.errors import DeadlineExceeded, MantaError, Overloaded
from serve_app.health.canary import Canary, same_direction
from serve_app.health.failures import FailuresInRow
from serve_app.health.progress import Progress
from serve_app.messages import Deadline, Embeddings, ModelCard, RequestContext, Vectors

logger = logging.getLogger("manta.embedding")

T = TypeVar("T")

_CANARY_TEXT = "The quick brown fox"  # any text does
_CANARY_TIMEOUT_S = 2.0  # a model that needs longer goes without one: who asks for health shall not wait
# Tokens of all callers that may wait: minutes of work, and 8 MB. Beyond it callers are told to wait.
_MAX_WAITING_TOKENS = 2_000_000


class BatchingEmbedder:
    """A TextEmbedder.

    Args:
        config: name, query prefix and health.
        card: with `dim`, `context_tokens` (the limit that is kept) and `embedding_id` set.
        tokenizer: of the model.
        lanes: of the model; closed by their own thread.
        window_tokens: taken from the queue at once.
        release: frees what the tokenizer is made of; called last.
    """

    def __init__(
        self,
        config: EmbedderBase,
        card: ModelCard,
        tokenizer: Tokenizer,
        lanes: Lanes,
        window_tokens: int,
        release: Callable[[], None],
    ) -> None:
        assert card.context_tokens is not None
        self._name = config.name
        self._card = card
        self._dim = lanes.dim
        self._release = release
        self._tokens = TextTokens(tokenizer, config.name, card.context_tokens, config.query_prefix)
        health = config.scaling.health
        self._failures = FailuresInRow(config.name, health.max_failures)
        self._canary: Canary[Vectors] = Canary(config.name, health.canary_period_s, same_direction)
        progress = Progress(config.name, health.max_step_s)
        self._steps = Steps(lanes, window_tokens, progress, self._failures)
        self._num_waiting_tokens = 0
        self._tokenizers = ThreadPoolExecutor(2, thread_name_prefix=f"tokenize-{config.name}")
        self._thread: EngineThread[Request] = EngineThread(
            config.name, self._steps.work, lanes.close, progress
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
            raise DeadlineExceeded(f"the request's time was over at: embed ({self._name})", "embed") from exc

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
            logger.debug("the canary of %s has no answer: %s", self._name, exc)

    async def close(self) -> None:
        if not await self._thread.close():
            return
        # Tokenising reads the model: it must be over before the model goes.
        await asyncio.to_thread(self._tokenizers.shutdown)
        self._release()

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
        vectors = np.empty((len(texts), self._dim), dtype=np.float32)
        if not prepared.tokens:
            return Embeddings(vectors, ())
        request = Request(prepared.tokens, vectors, context.deadline, loop, loop.create_future())
        num_tokens = sum(request.lengths)
        if self._num_waiting_tokens and self._num_waiting_tokens + num_tokens > _MAX_WAITING_TOKENS:
            raise Overloaded(f"{self._name} has {self._num_waiting_tokens} tokens waiting", 5.0)
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
