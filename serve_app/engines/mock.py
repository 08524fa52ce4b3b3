"""An engine that makes words at a calibrated pace: the ruler that benchmarks are held against.

Timing, text and jitter follow from seeds alone. It is no kinder than a real engine: it has a bounded
number of sequences at once, a context that can be exceeded, stop strings, and it ends mid-word at
max_tokens; and once prompts or running sequences cost engine time, sequences share steps (`mock_batch`).
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing

import numpy as np

from configs.schema import MockEmbedder as MockEmbedderConfig
from configs.schema import MockModel
from serve_app.engines.base import GenerationRequest, TextChunk
from serve_app.engines.mock_batch import Batch
from serve_app.engines.mock_faults import FaultyCourse, Hang, ordered_fault
from serve_app.engines.mock_tools import ordered_call
from serve_app.engines.stop_strings import StopStrings
from serve_app.errors import BadRequest, EngineFailed, InputTooLong
from serve_app.health.failures import FailuresInRow
from serve_app.health.progress import Progress
from serve_app.messages import Embeddings, Endpoint, ModelCard, RequestContext, Vectors

_WORDS = (
    "manta",
    "ray",
    "glides",
    "over",
    "reef",
    "and",
    "open",
    "sea",
    "by",
    "night",
    "with",
    "slow",
    "wings",
)
_TOKEN = re.compile(r"\w+|[^\w\s]")


class MockGenerator:
    """A TextGenerator: one word is one token."""

    def __init__(self, config: MockModel) -> None:
        self._config = config
        self._slots = asyncio.Semaphore(config.max_concurrent)
        is_batching = config.prefill_us_per_token > 0 or config.tpot_us_per_running > 0
        health = config.scaling.health
        self._batch = Batch(config) if is_batching else None
        self._hang = Hang(Progress(config.name, health.max_step_s))
        self._failures = FailuresInRow(config.name, health.max_failures)
        self.num_running = 0

    def card(self) -> ModelCard:
        return ModelCard(
            name=self._config.name,
            engine="mock",
            endpoints=(Endpoint.CHAT, Endpoint.COMPLETIONS),
            context_tokens=self._config.context_tokens,
            # It never ends by itself before the last token, and calls the tools that a prompt orders.
            abilities=frozenset({"min_tokens", "tools"}),
        )

    async def generate(self, request: GenerationRequest, context: RequestContext) -> AsyncIterator[TextChunk]:
        num_prompt = _num_prompt_tokens(request)
        num_wanted = request.sampling.max_tokens or self._config.num_output_tokens
        room = self._config.context_tokens - num_prompt
        if room < 1:
            raise InputTooLong(
                f"the prompt has {num_prompt} tokens; {self._config.name} takes {self._config.context_tokens}",
                "messages" if request.messages is not None else "prompt",
            )
        num_output = min(num_wanted, room)
        rng = random.Random(f"{self._config.seed}:{request.sampling.seed}")  # noqa: S311 (text and pace, no secret)
        stops = StopStrings(request.sampling.stop)
        fault = ordered_fault(request) if self._config.faults else None
        course = FaultyCourse(fault, self._hang) if fault is not None else None
        call = ordered_call(request)
        num_output = num_output if call is None else 1
        async with self._slots:
            self.num_running += 1
            try:
                if course is not None:
                    course.begin()
                async with aclosing(self._pace(num_prompt, num_output, rng)) as pace:
                    index = 0
                    async for _ in pace:
                        index += 1
                        if call is not None:
                            yield TextChunk("", "tool_calls", num_prompt, index, tool_calls=(call,))
                            self._failures.succeeded()
                            return
                        text, is_stopped = stops.feed(rng.choice(_WORDS) + " ")
                        is_last = is_stopped or index == num_output
                        if is_last and not is_stopped:
                            text += stops.rest()
                        yield TextChunk(
                            text,
                            ("stop" if is_stopped else "length") if is_last else None,
                            num_prompt_tokens=num_prompt,
                            num_completion_tokens=index,
                        )
                        if course is not None:
                            course.made(index)
                        if is_last:
                            self._failures.succeeded()
                            return
            except EngineFailed as exc:
                self._failures.failed(exc.message)
                raise
            finally:
                self.num_running -= 1

    async def check_health(self) -> None:
        self._hang.check()
        if self._batch is not None:
            self._batch.check()
        self._failures.check()

    async def close(self) -> None:
        if self._batch is not None:
            await self._batch.close()

    async def _pace(self, num_prompt: int, num_output: int, rng: random.Random) -> AsyncGenerator[None]:
        """Yields when a token is due.

        Raises:
            EngineFailed: the engine hangs, by order, and was found out.
        """
        due = time.perf_counter() + self._pause_s(self._config.ttft_ms, rng)
        if self._batch is None:
            for _ in range(num_output):
                # Paced against the clock, so that a late wake-up does not delay the rest.
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                due += self._pause_s(self._config.tpot_ms, rng)
                if self._hang.is_on:
                    await self._hang.wait()
                yield
            return
        await asyncio.sleep(due - time.perf_counter())
        sequence = self._batch.join(num_prompt, num_output)
        try:
            for _ in range(num_output):
                await sequence.next_token()
                if self._hang.is_on:
                    await self._hang.wait()
                yield
        finally:
            self._batch.leave(sequence)

    def _pause_s(self, mean_ms: float, rng: random.Random) -> float:
        spread = self._config.jitter * (2.0 * rng.random() - 1.0)
        return mean_ms * (1.0 + spread) / 1000.0


class MockTextEmbedder:
    """A TextEmbedder: a bag of hashed words, so that texts that share words are near each other."""

    def __init__(self, config: MockEmbedderConfig) -> None:
        self._config = config
        self._computing = asyncio.Lock()  # an engine works on one batch at a time

    def card(self) -> ModelCard:
        return ModelCard(
            name=self._config.name,
            engine="mock",
            endpoints=(Endpoint.EMBEDDINGS,),
            context_tokens=self._config.context_tokens,
            dim=self._config.dim,
            embedding_id=f"mock-bag-of-words-{self._config.dim}",
        )

    async def embed(
        self,
        texts: Sequence[str] | Sequence[Sequence[int]],
        context: RequestContext,
        *,
        is_query: bool = False,
        truncate: bool = False,
    ) -> Embeddings:
        context.deadline.check("embed")
        if self._config.ms_per_text:
            async with self._computing:
                await asyncio.sleep(len(texts) * self._config.ms_per_text / 1000.0)
        rows = np.zeros((len(texts), self._config.dim), dtype=np.float32)
        counts: list[int] = []
        num_truncated = 0
        limit = self._config.context_tokens
        for index, text in enumerate(texts):
            if not isinstance(text, str):
                raise BadRequest("the mock embedder has no token ids; send text", "input")
            words = _TOKEN.findall((self._config.query_prefix if is_query else "") + text.lower())
            if len(words) > limit:
                if not truncate:
                    raise InputTooLong(
                        f"input.{index} has {len(words)} tokens; {self._config.name} takes {limit}",
                        f"input.{index}",
                    )
                words, num_truncated = words[:limit], num_truncated + 1
            rows[index] = self._vector(words)
            counts.append(len(words))
        return Embeddings(rows, tuple(counts), num_truncated)

    async def count_tokens(self, texts: Sequence[str], context: RequestContext) -> list[int]:
        return [len(_TOKEN.findall(text)) for text in texts]

    async def check_health(self) -> None:
        return

    async def close(self) -> None:
        return

    def _vector(self, words: Sequence[str]) -> Vectors:
        row = np.full(self._config.dim, 1e-3, dtype=np.float32)  # never the zero vector
        for word in words:
            digest = hashlib.blake2b(word.encode(), digest_size=8).digest()
            row[int.from_bytes(digest[:4]) % self._config.dim] += 1.0
        return np.asarray(row / np.linalg.norm(row), dtype=np.float32)


def _num_prompt_tokens(request: GenerationRequest) -> int:
    if request.messages is not None:
        # Four tokens of template a message, as ChatML has them.
        return sum(len(_TOKEN.findall(message.text())) + 4 for message in request.messages)
    if isinstance(request.prompt, str):
        return len(_TOKEN.findall(request.prompt))
    return len(request.prompt or ())
