"""Text by llama.cpp: one engine thread, one sequence at a time, in small steps.

A step is a piece of a prompt or one token. Between steps the engine looks at who left and whose time
is over, so a closed browser frees it within one step. Others wait their turn in order of arrival.
"""

from __future__ import annotations

import asyncio
import codecs
import logging
import operator
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from configs.schema import LlamaCppModel
from serve_app.engines.base import FinishReason, GenerationRequest, SamplingParams, TextChunk
from serve_app.engines.llamacpp_library import Batch, Context, Model
from serve_app.engines.llamacpp_mailbox import Mailbox
from serve_app.engines.llamacpp_sampling import Sampler
from serve_app.engines.llamacpp_template import ChatTemplate
from serve_app.engines.llamacpp_thread import EngineThread
from serve_app.engines.stop_strings import StopStrings
from serve_app.errors import (
    BadRequest,
    ConfigError,
    DeadlineExceeded,
    EngineFailed,
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

logger = logging.getLogger("manta.llamacpp")

T = TypeVar("T")

# Prompt tokens of one step: on two cores and a model of 1.5 B parameters about two seconds, which is
# how long a caller who left can hold the engine.
_PREFILL_TOKENS = 128

# What the canary asks: any text does, and the fewer tokens the better.
_CANARY = GenerationRequest(
    None, "The quick brown fox", SamplingParams(max_tokens=8, temperature=0.0, ignore_eos=True)
)
_CANARY_TIMEOUT_S = 2.0  # a model that needs longer goes without one: who asks for health shall not wait


def open_llamacpp_chat(config: LlamaCppModel, home: Path, num_cpus: int) -> LlamaCppGenerator:
    """The model, loaded. Slow: call it off the event loop.

    Raises:
        ConfigError: the weights are missing, broken or no chat model, or the context is too long for it.
    """
    model = Model(ensure(config.weights, home))
    try:
        return LlamaCppGenerator(config, model, num_cpus)
    except ConfigError:
        model.close()
        raise


@dataclass(eq=False, slots=True)
class _Job:
    """A text to generate, as the engine's thread sees it."""

    prompt: NDArray[np.int32]
    sampling: SamplingParams
    max_tokens: int
    deadline: Deadline
    mailbox: Mailbox
    is_over: bool = False  # the caller left, or the engine is done with it

    def fail(self, error: MantaError) -> None:
        self.is_over = True
        self.mailbox.fail(error)


class LlamaCppGenerator:
    """A TextGenerator."""

    def __init__(self, config: LlamaCppModel, model: Model, num_cpus: int) -> None:
        if config.context_tokens > model.context_tokens:
            raise ConfigError(
                f"model {config.name}: context_tokens {config.context_tokens} is above the "
                f"{model.context_tokens} that {model.path.name} was trained with"
            )
        self._config = config
        self._model = model
        self._template = ChatTemplate(model, config.name)
        health = config.scaling.health
        self._failures = FailuresInRow(config.name, health.max_failures)
        self._canary: Canary[str] = Canary(config.name, health.canary_period_s, operator.eq)
        self._canary_job: _Job | None = None
        self._engine = _Engine(model, config.context_tokens, config.num_threads or num_cpus, self._failures)
        self._num_open = 0
        self._tokenizers = ThreadPoolExecutor(2, thread_name_prefix=f"tokenize-{config.name}")
        self._thread: EngineThread[_Job] = EngineThread(
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
            prompt = await self._in_pool(lambda: self._prompt(request))
            room = self._room(prompt, request)
            max_tokens = min(request.sampling.max_tokens or room, room)
            job = _Job(prompt, request.sampling, max_tokens, context.deadline, Mailbox())
            try:
                self._thread.submit(job)
                async with aclosing(job.mailbox.chunks()) as chunks:
                    async for chunk in chunks:
                        yield chunk
            finally:
                job.is_over = True
        finally:
            self._num_open -= 1

    async def check_health(self) -> None:
        self._thread.check()
        if self._canary.is_due() and not self._num_open:
            await self._ask_canary()
        self._failures.check()
        self._canary.check()

    async def _ask_canary(self) -> None:
        self._canary.asked()
        prompt = await self._in_pool(lambda: self._prompt(_CANARY))
        job = _Job(
            prompt,
            _CANARY.sampling,
            _CANARY.sampling.max_tokens or 1,
            Deadline.after(_CANARY_TIMEOUT_S),
            Mailbox(),
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

    def _prompt(self, request: GenerationRequest) -> NDArray[np.int32]:
        if request.messages is not None:
            text = self._template.render(request.messages)
            return self._model.tokenize(text, add_special=True, parse_special=True)
        if isinstance(request.prompt, str):
            return self._model.tokenize(request.prompt, add_special=True, parse_special=True)
        num_known = self._model.num_vocabulary
        for place, token in enumerate(request.prompt or ()):
            if not 0 <= token < num_known:
                raise BadRequest(
                    f"prompt.{place}: {self._config.name} has tokens 0 to {num_known - 1}, not {token}",
                    "prompt",
                )
        return np.asarray(request.prompt, dtype=np.int32)

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


class _Engine:
    """What the engine's thread does."""

    def __init__(self, model: Model, context_tokens: int, num_threads: int, failures: FailuresInRow) -> None:
        self._model = model
        self._failures = failures
        self._context_tokens = context_tokens
        self._batch = Batch(_PREFILL_TOKENS)
        self._context = Context(
            model, num_threads, n_ctx=context_tokens, n_batch=_PREFILL_TOKENS, n_ubatch=_PREFILL_TOKENS
        )
        if not self._context.has_memory:
            self._context.close()
            raise ConfigError(f"{model.path}: is an encoder; it cannot generate text")
        self._end_tokens: list[int] | None = None
        self._active: _Sequence | None = None

    def work(self, waiting: list[_Job]) -> None:
        """One step of the first job that waits."""
        for job in waiting:
            if not job.is_over and job.deadline.remaining_s() <= 0:
                job.fail(DeadlineExceeded("the request's time was over at: generate", "generate"))
        waiting[:] = [job for job in waiting if not job.is_over]
        if self._active and (not waiting or self._active.job is not waiting[0]):
            self._leave()
        if not waiting:
            return
        sequence = self._active or self._start(waiting[0])
        try:
            is_done = sequence.step()
        except EngineFailed as exc:
            self._failures.failed(exc.message)
            sequence.job.fail(exc)
            is_done = True
        else:
            if is_done:
                self._failures.succeeded()
        if is_done:
            waiting[0].is_over = True
            self._leave()
            waiting.pop(0)

    def close(self) -> None:
        self._leave()
        self._context.close()

    def _start(self, job: _Job) -> _Sequence:
        self._context.forget()
        banned: list[int] = []
        if job.sampling.ignore_eos:
            if self._end_tokens is None:
                self._end_tokens = self._model.end_tokens()
            banned = self._end_tokens
        sampler = Sampler(job.sampling, self._model, banned, self._context_tokens)
        self._active = _Sequence(job, self._model, self._context, self._batch, sampler)
        return self._active

    def _leave(self) -> None:
        if self._active:
            self._active.close()
            self._active = None


class _Sequence:
    """A text under way: its place in the prompt, its sampler, its half-made characters."""

    def __init__(self, job: _Job, model: Model, context: Context, batch: Batch, sampler: Sampler) -> None:
        self.job = job
        self._model = model
        self._context = context
        self._batch = batch
        self._sampler = sampler
        self._characters = codecs.getincrementaldecoder("utf-8")("replace")
        self._stops = StopStrings(job.sampling.stop)
        self._num_computed = 0  # tokens whose keys and values are in the cache
        self._last: NDArray[np.int32] | None = None  # the token that is chosen but not computed yet
        self._num_generated = 0

    def step(self) -> bool:
        """Compute a piece of the prompt, or make a token. True: the text is complete."""
        prompt = self.job.prompt
        if self._num_computed < len(prompt):
            piece = prompt[self._num_computed : self._num_computed + _PREFILL_TOKENS]
            self._compute(piece)
            return False
        if self._last is not None:
            self._compute(self._last)
        self._context.check_logits()
        token = self._sampler.sample(self._context)
        self._num_generated += 1
        self._last = np.asarray([token], dtype=np.int32)
        return self._emit(token)

    def close(self) -> None:
        self._sampler.close()

    def _compute(self, tokens: NDArray[np.int32]) -> None:
        self._batch.clear()
        self._batch.add(tokens, 0, self._num_computed, outputs=slice(-1, None))
        self._context.decode(self._batch)
        self._num_computed += len(tokens)

    def _emit(self, token: int) -> bool:
        if self._model.is_end(token):
            return self._finish(self._stops.rest(), "stop")
        # The bytes of half a character stay in the decoder; if the text ends there they are dropped.
        text, is_stopped = self._stops.feed(self._characters.decode(self._model.piece(token)))
        if is_stopped:
            return self._finish(text, "stop")
        if self._num_generated >= self.job.max_tokens:
            return self._finish(text + self._stops.rest(), "length")
        if text:
            self.job.mailbox.put(TextChunk(text))
        return False

    def _finish(self, text: str, reason: FinishReason) -> bool:
        chunk = TextChunk(
            text,
            reason,
            num_prompt_tokens=len(self.job.prompt),
            num_completion_tokens=self._num_generated,
        )
        self.job.mailbox.put(chunk)
        return True
