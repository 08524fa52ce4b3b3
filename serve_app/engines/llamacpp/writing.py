"""One text under way: what is known of it, how its next token is chosen, and what of it can be told."""

from __future__ import annotations

import codecs
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serve_app.engines.base import FinishReason, SamplingParams, TextChunk
from serve_app.engines.llamacpp.library import Context, Model
from serve_app.engines.llamacpp.mailbox import Mailbox
from serve_app.engines.llamacpp.sampling import Sampler
from serve_app.engines.llamacpp.slots import Slot
from serve_app.engines.stop_strings import StopStrings
from serve_app.errors import MantaError
from serve_app.messages import Deadline


@dataclass(eq=False, slots=True)
class Job:
    """A text to generate, as the engine's thread gets it."""

    prompt: NDArray[np.int32]
    sampling: SamplingParams
    max_tokens: int
    deadline: Deadline
    mailbox: Mailbox
    is_begun: bool = False
    is_over: bool = False  # the caller left, or the engine is done with it

    def fail(self, error: MantaError) -> None:
        self.is_over = True
        self.mailbox.fail(error)


class Text:
    """A job that was begun. It has a slot, unless others needed its cells: then it waits to be read again."""

    def __init__(self, job: Job, model: Model, sampler: Sampler) -> None:
        self.job = job
        self.slot: Slot | None = None
        self.num_cached = 0  # tokens of the prompt that were not computed for it
        self._model = model
        self._sampler = sampler
        self._characters = codecs.getincrementaldecoder("utf-8")("replace")
        self._stops = StopStrings(job.sampling.stop)
        self._tokens = np.empty(len(job.prompt) + job.max_tokens, dtype=np.int32)
        self._tokens[: len(job.prompt)] = job.prompt
        self._num_tokens = len(job.prompt)

    @property
    def tokens(self) -> NDArray[np.int32]:
        """Prompt and answer, as far as they are known, (n,) int32, a view."""
        return self._tokens[: self._num_tokens]

    @property
    def num_left(self) -> int:
        """Tokens that are known and not computed; it has a slot."""
        assert self.slot is not None
        return self._num_tokens - self.slot.num_tokens

    def next_tokens(self, num: int) -> NDArray[np.int32]:
        """The next so many of those."""
        assert self.slot is not None
        start = self.slot.num_tokens
        return self._tokens[start : start + num]

    def write(self, context: Context, row: int) -> bool:
        """Choose the next token from an output of the last batch. True: the text is complete.

        Raises:
            EngineFailed: the output is of no use.
        """
        context.logits(row)  # looks whether they are numbers
        token = self._sampler.sample(context, row)
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

    def _tell(self, token: int) -> bool:
        if self._model.is_end(token):
            return self._finish(self._stops.rest(), "stop")
        # The bytes of half a character stay in the decoder; if the text ends there they are dropped.
        text, is_stopped = self._stops.feed(self._characters.decode(self._model.piece(token)))
        if is_stopped:
            return self._finish(text, "stop")
        if self._num_written + 1 >= self.job.max_tokens:
            return self._finish(text + self._stops.rest(), "length")
        if text:
            self.job.mailbox.put(TextChunk(text))
        return False

    def _finish(self, text: str, reason: FinishReason) -> bool:
        chunk = TextChunk(
            text,
            reason,
            num_prompt_tokens=len(self.job.prompt),
            num_completion_tokens=self._num_written + 1,
            num_cached_tokens=self.num_cached,
        )
        self.job.mailbox.put(chunk)
        return True
