"""What the engine's thread does for chat: many texts in one batch, a step at a time.

A step is one call of llama.cpp with a token of every text that is being written and a piece of the prompts that are
being read (`turns`). Between steps the engine looks at who left and whose time is over, so that a closed browser
frees its place within one step. Texts begin in order of arrival, as soon as there is a slot for them (`slots`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import llama_cpp

from configs.schema import LlamaCppModel
from serve_app.engines.llamacpp.grammar import TooComplex
from serve_app.engines.llamacpp.kept import KeptTexts, Tokens, common_prefix
from serve_app.engines.llamacpp.library import Batch, Context, Model
from serve_app.engines.llamacpp.mailbox import Wakes
from serve_app.engines.llamacpp.sampling import Sampler
from serve_app.engines.llamacpp.slots import Slots
from serve_app.engines.llamacpp.turns import ReadingPace, plan_step
from serve_app.engines.llamacpp.writing import Job, Text
from serve_app.errors import ConfigError, DeadlineExceeded, EngineFailed
from serve_app.health.failures import FailuresInRow
from serve_app.telemetry.metrics import PROMPT_TOKENS, PROMPT_TOKENS_CACHED, Count

# A prompt waits for another one that is being read if that saves it the reading of so many tokens.
_WORTH_WAITING = 32
# Of prompts in a step, however slow the model is: fewer make the model's weights pass through the CPU for nothing.
_MIN_READ_TOKENS = 32
# llama.cpp's flash attention on CPUs has three ways of adding up, and which one it takes follows from the number of
# tokens in the step and in the cache (ggml_compute_forward_flash_attn_ext_f16 in ggml-cpu/ops.cpp); one of them adds
# in 16 bits. So a text that has two nearly equal best tokens somewhere can go either way.
_FAST: dict[str, int] = {"flash_attn_type": llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED}
_REPRODUCIBLE: dict[str, int] = {
    "flash_attn_type": llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED,
    "type_k": llama_cpp.GGML_TYPE_F32,
    "type_v": llama_cpp.GGML_TYPE_F32,
}


def open_chat_engine(
    config: LlamaCppModel, model: Model, num_cpus: int, failures: FailuresInRow, count: Count
) -> ChatEngine:
    """The engine, with its working memory.

    Raises:
        ConfigError: the model cannot generate, or there is not enough memory.
    """
    context = Context(
        model,
        config.num_threads or num_cpus,
        n_ctx=config.max_sequences * config.context_tokens,
        n_batch=config.max_step_tokens + config.max_sequences,
        n_ubatch=config.max_step_tokens,
        n_seq_max=config.max_sequences,
        # Each sequence has its own part of the cache. In one that all share, every token looks past the tokens of
        # all others: 16 texts of 200 tokens were written at 426 tokens/s so, and at 496 with parts of their own.
        kv_unified=False,
        **(_REPRODUCIBLE if config.reproducible else _FAST),
    )
    if not context.has_memory:
        context.close()
        raise ConfigError(f"{model.path}: is an encoder; it cannot generate text")
    slots = Slots(
        config.max_sequences,
        config.context_tokens,
        context,
        KeptTexts(config.prefix_cache_bytes),
        can_share=not model.is_recurrent,
    )
    return ChatEngine(
        model,
        context,
        slots,
        failures,
        max_step_tokens=config.max_step_tokens,
        pace=ReadingPace(config.max_step_ms / 1000, _MIN_READ_TOKENS),
        count=partial(_count_prompt, count, config.name),
    )


def _count_prompt(count: Count, name: str, num_tokens: int, num_cached: int) -> None:
    count(PROMPT_TOKENS, num_tokens, name=name)
    count(PROMPT_TOKENS_CACHED, num_cached, name=name)


class ChatEngine:
    """All texts of one model's context.

    Args:
        slots: of the context.
        max_step_tokens: of prompts in one step; texts that are written have a token each besides.
        pace: how much of the prompts is read in a step while texts are being written.
        count: is told of each text that begins: tokens of its prompt, and those that were cached.
    """

    def __init__(
        self,
        model: Model,
        context: Context,
        slots: Slots,
        failures: FailuresInRow,
        *,
        max_step_tokens: int,
        pace: ReadingPace,
        count: Callable[[int, int], None],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._model = model
        self._context = context
        self.slots = slots
        self._failures = failures
        self._max_step_tokens = max_step_tokens
        self._pace = pace
        self._clock = clock
        self._count = count
        self._batch = Batch(max_step_tokens + slots.num_slots)
        self._texts: list[Text] = []  # begun, in that order
        self.wakes = Wakes()  # of those who read what is written here

    def work(self, waiting: list[Job]) -> None:
        """One step. `waiting` has the texts under way too; those that are over are taken out."""
        self._end_late(waiting)
        self._leave_ended()
        self._begin(waiting)
        self._step()
        self._leave_ended()
        begun = {text.job for text in self._texts}  # who left since then is taken out in the next step
        waiting[:] = [job for job in waiting if job in begun or not job.is_over]
        self.wakes.send()

    @property
    def num_texts(self) -> int:
        """Begun, and not over."""
        return len(self._texts)

    def close(self) -> None:
        for text in self._texts:
            text.close()
        self._context.close()

    # ---------------------------------------------------------------- who is under way

    def _end_late(self, waiting: list[Job]) -> None:
        for job in waiting:
            if not job.is_over and job.deadline.remaining_s() <= 0:
                job.fail(DeadlineExceeded("the request's time was over at: generate", "generate"))

    def _leave_ended(self) -> None:
        """Free the slots of texts that are over. Callers leave at any moment, so each text is looked at once."""
        under_way: list[Text] = []
        for text in self._texts:
            if not text.job.is_over:
                under_way.append(text)
                continue
            (self.slots.drop if text.is_spoilt else self.slots.leave)(text.slot)
            text.close()
        self._texts = under_way

    def _begin(self, waiting: list[Job]) -> None:
        """Give slots to whoever is next, in order of arrival, as far as there are any."""
        for job in waiting:
            if job.is_begun or job.is_over:
                continue
            if self._is_coming(job.prompt):
                continue
            slot = self.slots.take(job.prompt)
            if slot is None:
                break
            job.is_begun = True
            self._count(len(job.prompt), slot.num_tokens)
            self._texts.append(Text(job, self._model, self._sampler(job), slot))
        while (moved := self.slots.close_ranks()) is not None:
            before, now = moved
            next(text for text in self._texts if text.slot is before).slot = now

    def _is_coming(self, prompt: Tokens) -> bool:
        """Whether a text that is being read begins like this one, further than it is there yet."""
        readers = [text for text in self._texts if text.num_left > 1]
        if not readers:
            return False
        num_coming = max(common_prefix(text.tokens, prompt) for text in readers)
        return num_coming >= self.slots.num_common(prompt) + _WORTH_WAITING

    def _sampler(self, job: Job) -> Sampler:
        banned = self._model.end_tokens() if job.sampling.ignore_eos else []
        return Sampler(job.sampling, self._model, banned=banned, prompt=job.prompt, max_tokens=job.max_tokens)

    # ---------------------------------------------------------------- a step

    def _step(self) -> None:
        if not self._texts:
            return
        counts = plan_step([text.num_left for text in self._texts], self._max_step_tokens, self._pace)
        turns = [(text, text.next_tokens(num)) for text, num in zip(self._texts, counts, strict=True) if num]
        turns.sort(key=lambda turn: turn[0].slot.id)  # llama.cpp joins sequences that follow each other
        self._batch.clear()
        ends: list[tuple[Text, int]] = []  # whose next token this step gives, and the row of its output
        for text, tokens in turns:
            is_end = len(tokens) == text.num_left
            outputs = slice(-1 if is_end else len(tokens), None)
            self._batch.add(tokens, text.slot.id, text.slot.num_tokens, outputs=outputs)
            if is_end:
                ends.append((text, self._batch.num_tokens - 1))
        began = self._clock()
        try:
            self._context.decode(self._batch)
        except EngineFailed as exc:
            self._failures.failed(exc.message)
            for text, _ in turns:
                self._fail(text, exc)
            return
        self._pace.observe(sum(num for num in counts if num > 1), self._clock() - began)
        for text, tokens in turns:
            text.slot.extend(tokens)
        for text, row in ends:
            self._write(text, row)

    def _write(self, text: Text, row: int) -> None:
        try:
            is_complete = text.write(self._context, row)
        except TooComplex as exc:
            text.job.fail(exc)  # its grammar is the caller's, and says nothing of the engine
        except EngineFailed as exc:
            self._failures.failed(exc.message)
            self._fail(text, exc)
        else:
            if is_complete:  # said only then: its caller may have left meanwhile, which stays so
                text.job.is_over = True
                self._failures.succeeded()

    def _fail(self, text: Text, error: EngineFailed) -> None:
        """What its slot has may be as bad as what came of it."""
        text.job.fail(error)
        text.is_spoilt = True
