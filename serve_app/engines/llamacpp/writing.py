"""One text under way: what is known of it, how its next token is chosen, and what of it can be told."""

from __future__ import annotations

import codecs
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serve_app.engines.base import FinishReason, SamplingParams, TextChunk
from serve_app.engines.llamacpp.grammar import Constraint
from serve_app.engines.llamacpp.library import Context, Model
from serve_app.engines.llamacpp.logprobs import RawLogprobs
from serve_app.engines.llamacpp.mailbox import Mailbox
from serve_app.engines.llamacpp.sampling import Sampler
from serve_app.engines.llamacpp.slots import Slot
from serve_app.engines.stop_strings import StopStrings
from serve_app.errors import MantaError
from serve_app.messages import Deadline
from serve_app.openai_api.parts import TokenLogprob


@dataclass(eq=False, slots=True)
class Job:
    """A text to generate, as the engine's thread gets it."""

    prompt: NDArray[np.int32]
    sampling: SamplingParams
    max_tokens: int
    deadline: Deadline
    mailbox: Mailbox
    constraint: Constraint | None = None  # what the text may become
    markers: frozenset[int] = frozenset()  # control tokens that the reader wants to see as text
    is_begun: bool = False
    is_over: bool = False  # the caller left, or the engine is done with it

    def fail(self, error: MantaError) -> None:
        self.is_over = True
        self.mailbox.fail(error)


class Text:
    """A job that was begun.

    Args:
        slot: has the beginning of its prompt already, as far as that was there.
    """

    def __init__(self, job: Job, model: Model, sampler: Sampler, slot: Slot) -> None:
        self.job = job
        self.slot = slot
        self.is_spoilt = False  # what its slot has is of no use to others
        self._num_cached = slot.num_tokens
        self._model = model
        self._sampler = sampler
        self._characters = codecs.getincrementaldecoder("utf-8")("replace")
        self._stops = StopStrings(job.sampling.stop)
        self._logprobs: list[TokenLogprob] = []  # of tokens whose text was not told yet
        self._num_characters = 0  # of the text, told or not
        self._num_told = 0  # characters
        sampling = job.sampling
        self._is_watched = bool(
            job.constraint is not None or sampling.min_tokens or sampling.top_logprobs is not None
        )
        self._tokens = np.empty(len(job.prompt) + job.max_tokens, dtype=np.int32)
        self._tokens[: len(job.prompt)] = job.prompt
        self._num_tokens = len(job.prompt)

    @property
    def tokens(self) -> NDArray[np.int32]:
        """Prompt and answer, as far as they are known, (n,) int32, a view."""
        return self._tokens[: self._num_tokens]

    @property
    def num_left(self) -> int:
        """Tokens that are known and not computed."""
        return self._num_tokens - self.slot.num_tokens

    def next_tokens(self, num: int) -> NDArray[np.int32]:
        """The next so many of those."""
        start = self.slot.num_tokens
        return self._tokens[start : start + num]

    def write(self, context: Context, row: int) -> bool:
        """Choose the next token from an output of the last batch. True: the text is complete.

        Raises:
            EngineFailed: the output is of no use.
            TooComplex: the text's grammar cannot be followed any further.
        """
        logits = context.logits(row)  # looks whether they are numbers
        token = self._choose(context, row, logits) if self._is_watched else self._sampler.sample(context, row)
        is_over = self._tell(token)
        if not is_over:
            self._tokens[self._num_tokens] = token
        self._num_tokens += 1
        return is_over

    def close(self) -> None:
        self._sampler.close()

    @property
    def _num_written(self) -> int:
        return self._num_tokens - len(self.job.prompt)

    def _choose(self, context: Context, row: int, logits: NDArray[np.float32]) -> int:
        """The next token, where there is more to it than sampling."""
        sampling, constraint = self.job.sampling, self.job.constraint
        raw = RawLogprobs(logits, sampling.top_logprobs) if sampling.top_logprobs is not None else None
        if self._num_written < sampling.min_tokens:
            logits[self._model.end_tokens()] = -np.inf
        if constraint is not None:
            constraint.mask(logits)
        token = self._sampler.sample(context, row)
        if raw is not None and not self._model.is_end(token):
            self._logprobs.append(raw.of(token, self._model, self._num_characters))
        if constraint is not None and not self._model.is_end(token):
            constraint.accept(token)
        return token

    def _tell(self, token: int) -> bool:
        if self._model.is_end(token):
            return self._finish(self._stops.rest(), "stop")
        # The bytes of half a character stay in the decoder; if the text ends there they are dropped.
        is_marker = token in self.job.markers
        written = self._characters.decode(self._model.piece(token, special=is_marker))
        self._num_characters += len(written)
        text, is_stopped = self._stops.feed(written)
        if is_stopped:
            return self._finish(text, "stop", is_cut=True)
        if self.job.constraint is not None and self.job.constraint.is_complete:
            return self._finish(text + self._stops.rest(), "stop")
        if self._num_written + 1 >= self.job.max_tokens:
            return self._finish(text + self._stops.rest(), "length")
        if text:
            self._num_told += len(text)
            self.job.mailbox.put(TextChunk(text, logprobs=self._take_logprobs()))
        return False

    def _take_logprobs(self) -> tuple[TokenLogprob, ...]:
        if not self._logprobs:
            return ()
        taken = tuple(self._logprobs)
        self._logprobs.clear()
        return taken

    def _finish(self, text: str, reason: FinishReason, *, is_cut: bool = False) -> bool:
        logprobs = self._take_logprobs()
        if is_cut:  # by a stop string: nothing is told of tokens that belong to it alone
            end = self._num_told + len(text)
            logprobs = tuple(one for one in logprobs if one.offset < end)
        chunk = TextChunk(
            text,
            reason,
            num_prompt_tokens=len(self.job.prompt),
            num_completion_tokens=self._num_written + 1,
            num_cached_tokens=self._num_cached,
            logprobs=logprobs,
        )
        self.job.mailbox.put(chunk)
        return True
