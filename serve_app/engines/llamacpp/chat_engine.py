"""What the engine's thread does for chat: many texts in one batch, a step at a time.

A step is one call of llama.cpp with a token of every text that is being written and a piece of the prompts that are
being read (`turns`). Between steps the engine looks at who left and whose time is over, so that a closed browser
frees its place within one step. Texts begin in order of arrival, as soon as there is a sequence for them and cells
for their prompt (`slots`); if cells run out later, the text that began last gives its own back and is read again.
"""

from __future__ import annotations

from collections.abc import Callable

import llama_cpp

from configs.schema import LlamaCppModel
from serve_app.engines.llamacpp.grammar import TooComplex
from serve_app.engines.llamacpp.library import Batch, Context, Model
from serve_app.engines.llamacpp.sampling import Sampler
from serve_app.engines.llamacpp.slots import Slots, Tokens, common_prefix
from serve_app.engines.llamacpp.turns import plan_step
from serve_app.engines.llamacpp.writing import Job, Text
from serve_app.errors import ConfigError, DeadlineExceeded, EngineFailed
from serve_app.health.failures import FailuresInRow

# Cells that are kept free for each text under way when another one begins: the more, the less often a text has to
# be read again.
_SPARE_CELLS = 32
# A prompt waits for another one that is being read if that saves it the reading of so many tokens.
_WORTH_WAITING = 32
# Sequences for each text that is written at once: the others keep what texts before them left.
_SLOTS_PER_TEXT = 2
_CACHED_TEXTS = 4  # of full length, where the configuration does not say how much is cached
_MAX_SLOTS = 256  # LLAMA_MAX_SEQ in llama-cparams.h
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
    config: LlamaCppModel, model: Model, num_cpus: int, failures: FailuresInRow
) -> ChatEngine:
    """The engine, with its working memory.

    Raises:
        ConfigError: the model cannot generate, or there is not enough memory.
    """
    num_slots = min(_MAX_SLOTS, _SLOTS_PER_TEXT * config.max_sequences)
    context = Context(
        model,
        config.num_threads or num_cpus,
        n_ctx=config.cache_tokens or _CACHED_TEXTS * config.context_tokens,
        n_batch=config.max_step_tokens,
        n_ubatch=config.max_step_tokens,
        n_seq_max=num_slots,
        kv_unified=True,  # sequences share cells, and none has a part of the cache to itself
        **(_REPRODUCIBLE if config.reproducible else _FAST),
    )
    if not context.has_memory:
        context.close()
        raise ConfigError(f"{model.path}: is an encoder; it cannot generate text")
    slots = Slots(
        num_slots, context.num_cells, config.context_tokens, context, can_share=not model.is_recurrent
    )
    return ChatEngine(
        model,
        context,
        slots,
        failures,
        max_texts=config.max_sequences,
        max_step_tokens=config.max_step_tokens,
    )


class ChatEngine:
    """All texts of one model's context.

    Args:
        slots: of the context.
        max_texts: that are written at once.
        max_step_tokens: of one step, at least `max_texts`.
        on_prefix: is told of each text that begins: tokens of its prompt, and those that were cached.
    """

    def __init__(
        self,
        model: Model,
        context: Context,
        slots: Slots,
        failures: FailuresInRow,
        *,
        max_texts: int,
        max_step_tokens: int,
        on_prefix: Callable[[int, int], None] = lambda num_prompt, num_cached: None,
    ) -> None:
        self._model = model
        self._context = context
        self._slots = slots
        self._failures = failures
        self._max_texts = max_texts
        self._max_step_tokens = max_step_tokens
        self._on_prefix = on_prefix
        self._batch = Batch(max_step_tokens)
        self._texts: list[Text] = []  # begun, in that order; those with a slot come first
        self._num_reread = 0

    @property
    def num_reread(self) -> int:
        """Texts that lost their cells and had to be read again, ever."""
        return self._num_reread

    def work(self, waiting: list[Job]) -> None:
        """One step. `waiting` has the texts under way too; those that are over are taken out."""
        self._end_late(waiting)
        self._leave_ended()
        self._begin(waiting)
        self._step()
        self._leave_ended()
        waiting[:] = [job for job in waiting if not job.is_over]

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
        for text in self._texts:
            if text.job.is_over:
                if text.slot is not None:
                    self._slots.leave(text.slot)
                text.close()
        self._texts = [text for text in self._texts if not text.job.is_over]

    def _begin(self, waiting: list[Job]) -> None:
        """Give slots to whoever is next, in order of arrival, as far as there are any."""
        for text in self._texts:
            if text.slot is None and not self._place(text):
                return
        for job in waiting:
            if job.is_begun or job.is_over:
                continue
            if len(self._texts) >= self._max_texts:
                return
            if self._is_coming(job.prompt):
                continue
            text = Text(job, self._model, self._sampler(job))
            if not self._place(text):
                text.close()
                return
            job.is_begun = True
            assert text.slot is not None
            text.num_cached = text.slot.num_tokens
            self._on_prefix(len(job.prompt), text.num_cached)
            self._texts.append(text)

    def _place(self, text: Text) -> bool:
        num_others = sum(other.slot is not None for other in self._texts)
        text.slot = self._slots.take(text.tokens, _SPARE_CELLS * (num_others + 1) if num_others else 0)
        return text.slot is not None

    def _is_coming(self, prompt: Tokens) -> bool:
        """Whether a text that is being read begins like this one, further than the cache has it yet."""
        readers = [text for text in self._texts if text.slot is not None and text.num_left > 1]
        if not readers:
            return False
        num_cached = self._slots.best_prefix(prompt)[1]
        num_coming = max(common_prefix(text.tokens, prompt) for text in readers)
        return num_coming >= num_cached + _WORTH_WAITING

    def _sampler(self, job: Job) -> Sampler:
        banned = self._model.end_tokens() if job.sampling.ignore_eos else []
        return Sampler(job.sampling, self._model, banned=banned, prompt=job.prompt, max_tokens=job.max_tokens)

    # ---------------------------------------------------------------- a step

    def _step(self) -> None:
        turns = self._turns()
        if not turns:
            return
        self._batch.clear()
        ends: list[tuple[Text, int]] = []  # whose next token this step gives, and the row of its output
        for text, tokens in turns:
            assert text.slot is not None
            is_end = len(tokens) == text.num_left
            place = text.slot.num_tokens
            self._batch.add(tokens, text.slot.id, place, outputs=slice(-1 if is_end else len(tokens), None))
            if is_end:
                ends.append((text, self._batch.num_tokens - 1))
        try:
            self._context.decode(self._batch)
        except EngineFailed as exc:
            self._failures.failed(exc.message)
            for text, _ in turns:
                self._fail(text, exc)
            return
        for text, tokens in turns:
            assert text.slot is not None
            self._slots.extend(text.slot, tokens)
        for text, row in ends:
            self._write(text, row)

    def _turns(self) -> list[tuple[Text, Tokens]]:
        """The tokens of the next step, with cells for them."""
        texts = [text for text in self._texts if text.slot is not None]
        while True:
            counts = plan_step([text.num_left for text in texts], self._max_step_tokens)
            if self._slots.free(sum(counts)):
                return [(text, text.next_tokens(num)) for text, num in zip(texts, counts, strict=True) if num]
            # A single text always fits, so this ends.
            last = texts.pop()
            assert last.slot is not None
            self._slots.drop(last.slot)
            last.slot = None
            self._num_reread += 1

    def _write(self, text: Text, row: int) -> None:
        try:
            text.job.is_over |= text.write(self._context, row)
        except TooComplex as exc:
            text.job.fail(exc)  # its grammar is the caller's, and says nothing of the engine
        except EngineFailed as exc:
            self._failures.failed(exc.message)
            self._fail(text, exc)
        else:
            if text.job.is_over:
                self._failures.succeeded()

    def _fail(self, text: Text, error: EngineFailed) -> None:
        """What the cache has of it may be as bad as what came of it."""
        text.job.fail(error)
        if text.slot is not None:
            self._slots.drop(text.slot)
            text.slot = None
