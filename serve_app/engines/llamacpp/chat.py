"""Text by llama.cpp: many texts in one batch, on one engine thread (`chat_engine`).

Callers tokenise on a small pool beside it and read what is written from a mailbox.
"""

from __future__ import annotations

import asyncio
import logging
import operator
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from configs.schema import LlamaCppModel
from serve_app.engines.base import GenerationRequest, SamplingParams, TextChunk
from serve_app.engines.llamacpp.answers import Answer, Answers
from serve_app.engines.llamacpp.chat_engine import open_chat_engine
from serve_app.engines.llamacpp.held import Held
from serve_app.engines.llamacpp.library import Model
from serve_app.engines.llamacpp.mailbox import Mailbox
from serve_app.engines.llamacpp.template import ChatTemplate
from serve_app.engines.llamacpp.thread import EngineThread
from serve_app.engines.llamacpp.writing import Job
from serve_app.errors import (
    BadRequest,
    ConfigError,
    InputTooLong,
    MantaError,
    Overloaded,
    Unavailable,
)
from serve_app.health.canary import Canary
from serve_app.health.failures import FailuresInRow
from serve_app.health.progress import Progress
from serve_app.messages import Deadline, Endpoint, ModelCard, RequestContext
from serve_app.model_cache.cache import ensure
from serve_app.telemetry.metrics import Count, count_nothing

logger = logging.getLogger("manta.llamacpp")

T = TypeVar("T")

ABILITIES = frozenset(
    {
        "chat_template_kwargs",
        "logit_bias",
        "logprobs",
        "min_tokens",
        "reasoning_effort",
        "repetition_penalty",
        "response_format",
        "tools",
    }
)

# What the canary asks: any text does, and the fewer tokens the better.
_CANARY = GenerationRequest(
    None, "The quick brown fox", SamplingParams(max_tokens=8, temperature=0.0, ignore_eos=True)
)
_CANARY_TIMEOUT_S = 2.0  # a model that needs longer goes without one: who asks for health shall not wait


def open_llamacpp_chat(
    config: LlamaCppModel, home: Path, num_cpus: int, count: Count = count_nothing
) -> LlamaCppGenerator:
    """The model, loaded. Slow: call it off the event loop.

    Raises:
        ConfigError: the weights are missing, broken or no chat model, or the context is too long for it.
    """
    model = Model(ensure(config.weights, home))
    try:
        return LlamaCppGenerator(config, model, num_cpus, count)
    except ConfigError:
        model.close()
        raise


class LlamaCppGenerator:
    """A TextGenerator."""

    def __init__(
        self, config: LlamaCppModel, model: Model, num_cpus: int, count: Count = count_nothing
    ) -> None:
        if config.context_tokens > model.context_tokens:
            raise ConfigError(
                f"model {config.name}: context_tokens {config.context_tokens} is above the "
                f"{model.context_tokens} that {model.path.name} was trained with"
            )
        self._config = config
        self._model = model
        self._template = ChatTemplate(model, config.name)
        self._answers = Answers(config, model, self._template)
        health = config.scaling.health
        self._failures = FailuresInRow(config.name, health.max_failures)
        self._canary: Canary[str] = Canary(config.name, health.canary_period_s, operator.eq)
        self._canary_job: Job | None = None
        self._engine = open_chat_engine(config, model, num_cpus, self._failures, count)
        self._num_open = 0
        self._tokenizers = ThreadPoolExecutor(2, thread_name_prefix=f"tokenize-{config.name}")
        self._thread: EngineThread[Job] = EngineThread(
            config.name,
            self._engine.work,
            self._engine.close,
            Progress(config.name, health.max_step_s),
        )

    def card(self) -> ModelCard:
        return ModelCard(
            name=self._config.name,
            engine="llamacpp",
            endpoints=(Endpoint.CHAT, Endpoint.COMPLETIONS),
            context_tokens=self._config.context_tokens,
            abilities=ABILITIES,
        )

    async def generate(self, request: GenerationRequest, context: RequestContext) -> AsyncIterator[TextChunk]:
        context.deadline.check("engine queue")
        self._thread.check()
        if self._num_open >= self._config.scaling.max_ongoing_requests:
            raise Overloaded(f"{self._config.name} has {self._num_open} requests already")
        self._num_open += 1
        if self._canary_job is not None:
            self._canary_job.fail(Unavailable("real work came in between"))
        try:
            prompt, answer = await self._in_pool(lambda: self._begin(request))
            room = self._room(prompt, request)
            max_tokens = min(request.sampling.max_tokens or room, room)
            job = Job(
                prompt,
                request.sampling,
                max_tokens,
                context.deadline,
                Mailbox(self._engine.wakes),
                answer.constraint,
                answer.markers,
            )
            try:
                self._thread.submit(job)
                async with aclosing(job.mailbox.chunks()) as chunks:
                    async for chunk in chunks:
                        yield chunk if answer.reader is None else answer.reader.read(chunk)
            finally:
                job.is_over = True
        finally:
            self._num_open -= 1

    def held(self) -> Held:
        """What is held of requests now. To be asked on the event loop that they come from."""
        num_jobs = self._thread.num_jobs
        slots = self._engine.slots
        return Held(
            num_requests=self._num_open,
            num_jobs=num_jobs,
            num_texts=self._engine.num_texts,
            num_busy_slots=slots.num_busy,
            num_astray_slots=0 if num_jobs else slots.num_astray,
            num_excess_bytes=slots.num_excess_bytes,
        )

    async def check_health(self) -> None:
        self._thread.check()
        if self._canary.is_due() and not self._num_open:
            await self._ask_canary()
        self._failures.check()
        self._canary.check()

    async def _ask_canary(self) -> None:
        self._canary.asked()
        prompt, _ = await self._in_pool(lambda: self._begin(_CANARY))
        job = Job(
            prompt,
            _CANARY.sampling,
            _CANARY.sampling.max_tokens or 1,
            Deadline.after(_CANARY_TIMEOUT_S),
            Mailbox(self._engine.wakes),
        )
        self._canary_job = job
        try:
            self._thread.submit(job)
            async with aclosing(job.mailbox.chunks()) as chunks:
                self._canary.answered("".join([chunk.text async for chunk in chunks]))
        except MantaError as exc:
            # No answer says nothing: it came too late, made room, or failed, which is counted where it failed.
            logger.debug("the canary of %s has no answer: %s", self._config.name, exc)
        finally:
            job.is_over = True
            self._canary_job = None

    async def close(self) -> None:
        if not await self._thread.close():
            return
        # Tokenising reads the model: it must be over before the model goes.
        await asyncio.to_thread(self._tokenizers.shutdown)
        self._model.close()

    def _begin(self, request: GenerationRequest) -> tuple[NDArray[np.int32], Answer]:
        """The prompt's tokens, and what its answer is held to. Slow: for a thread of the pool."""
        for token, _ in request.sampling.logit_bias:
            self._check_token(token, f"logit_bias.{token}")
        if request.messages is not None:
            text = self._template.render(request.messages, request.tools, request.template_options)
            prompt = self._model.tokenize(text, add_special=True, parse_special=True)
            return prompt, self._answers.to_chat(request, text)
        if isinstance(request.prompt, str):
            prompt = self._model.tokenize(request.prompt, add_special=True, parse_special=True)
        else:
            for place, token in enumerate(request.prompt or ()):
                self._check_token(token, f"prompt.{place}")
            prompt = np.asarray(request.prompt, dtype=np.int32)
        return prompt, self._answers.to_prompt(request)

    def _check_token(self, token: int, where: str) -> None:
        num_known = self._model.num_vocabulary
        if not 0 <= token < num_known:
            raise BadRequest(
                f"{where}: {self._config.name} has tokens 0 to {num_known - 1}, not {token}",
                where.partition(".")[0],
            )

    def _room(self, prompt: NDArray[np.int32], request: GenerationRequest) -> int:
        """Tokens that the answer may have."""
        param = "messages" if request.messages is not None else "prompt"
        if not len(prompt):
            raise BadRequest("the prompt is empty", param)
        room = self._config.context_tokens - len(prompt)
        if room < 1:
            raise InputTooLong(
                f"the prompt has {len(prompt)} tokens; {self._config.name} takes "
                f"{self._config.context_tokens}, prompt and answer together",
                param,
            )
        return room

    async def _in_pool(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._tokenizers, work)
