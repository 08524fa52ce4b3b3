"""The sessions of one entry of the mix, drawn: lengths, turns, shared prefixes, who leaves early.

Everything is drawn in arrays at the start. Session k of an entry is the same whatever the arrivals and
the other entries are, and each aspect has a stream of its own, so changing one leaves the others.

Knows nothing of time. Makes no text, but says of which parts a prompt consists.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.schedule.lengths import Lengths, sample
from benchmarks.schedule.planned import PlannedRequest
from benchmarks.schedule.streams import stream
from configs.workload import AgentRequest, ChatRequest, EmbeddingRequest, LoadRequest

DEFAULT_PROMPT_TOKENS = 128
DEFAULT_OUTPUT_TOKENS = 32


class Prompt(NamedTuple):
    """One text of a request: generated parts, then a text of the entry's file. At least one of them.

    Args:
        parts: (key, number of tokens), as a PromptSource takes them.
        text_number: position in the entry's file of texts, which starts again after its last.
    """

    parts: tuple[tuple[str, int], ...] = ()
    text_number: int | None = None


class Draft(NamedTuple):
    """A planned request whose body is not made yet.

    Args:
        request: without a place in the file of bodies.
        prompts: one; several for embeddings of several inputs.
    """

    request: PlannedRequest
    prompts: tuple[Prompt, ...]


class Sessions:
    """`num` sessions of an entry. Session k has turns 0 to num_turns[k] - 1.

    A session's answers are all as long as its first: later turns keep the first one's `max_tokens`.

    Args:
        entry: position in the workload's mix.

    Raises:
        BenchmarkError: a length cannot be drawn.
    """

    def __init__(self, entry: int, request: LoadRequest, num: int, seed: int) -> None:
        self._entry = entry
        self._request = request
        self._seed = seed
        self._num_inputs = request.num_inputs if isinstance(request, EmbeddingRequest) else 1
        self._think_s = request.think_time_s if isinstance(request, ChatRequest) else 0.0
        turns = request.turns if isinstance(request, ChatRequest) else 1
        self.num_turns = sample(turns, num, self._stream("turns"), f"{request.label}: turns")
        num_later = int(self.num_turns.sum()) - num
        # Session k's turns after the first are at _later_start[k] and on.
        self._later_start = _starts(self.num_turns - 1)
        self._text_start = _starts(self.num_turns * self._num_inputs)
        self._draw_lengths(num, num_later)
        self._leaves_first = self._draw_leaving(num, "leaving")
        self._leaves_later = self._draw_leaving(num_later, "later leaving")

    @property
    def num_text_tokens(self) -> Lengths:
        """(num,) int64: tokens to generate for each session; 0 where texts come from a file."""
        later = self._later_sums[self._later_start + self.num_turns - 1] - self._later_sums[self._later_start]
        tokens: Lengths = self._first.sum(axis=1) + later + self._prefix_tokens
        return tokens

    def draft(self, k: int, turn: int, *, index: int, session: int, at_s: float | None) -> Draft:
        """The request of session k at this turn."""
        later = int(self._later_start[k]) + turn - 1  # position among the later turns; turn > 0
        leaves = self._leaves_first[k] if turn == 0 else self._leaves_later[later]
        abandon = self._request.abandon
        planned = PlannedRequest(
            index=index,
            entry=self._entry,
            body_offset=0,
            body_bytes=0,
            at_s=at_s,
            session=session,
            turn=turn,
            num_turns=int(self.num_turns[k]),
            think_s=self._think_s if turn > 0 else 0.0,
            num_prompt_tokens=self._num_prompt_tokens(k, turn),
            num_output_tokens=int(self._outputs[k]) if self._outputs is not None else None,
            abandon_after_s=abandon.after_s if abandon is not None and leaves else None,
        )
        return Draft(planned, self._prompts(k, turn))

    # ---------------------------------------------------------------- drawn at the start

    def _stream(self, aspect: str) -> np.random.Generator:
        return stream(self._seed, f"{aspect}:{self._request.label}")

    def _draw_lengths(self, num: int, num_later: int) -> None:
        request = self._request
        label = request.label
        num_first = num * self._num_inputs
        self._outputs: Lengths | None = None
        self._prefixes: Lengths | None = None
        self._prefix_tokens = 0
        if isinstance(request, AgentRequest) or request.texts is not None:
            first, later = np.zeros(num_first, np.int64), np.zeros(num_later, np.int64)
        else:
            length = request.prompt_tokens or DEFAULT_PROMPT_TOKENS
            first = sample(length, num_first, self._stream("prompt"), f"{label}: prompt_tokens")
            later = sample(length, num_later, self._stream("later prompt"), f"{label}: prompt_tokens")
        self._first = first.reshape(num, self._num_inputs)
        self._later_sums = np.concatenate(([0], np.cumsum(later)))  # [i] is the sum of the first i
        if isinstance(request, (AgentRequest, EmbeddingRequest)):
            return
        output = request.output_tokens or DEFAULT_OUTPUT_TOKENS
        self._outputs = sample(output, num, self._stream("output"), f"{label}: output_tokens")
        if request.shared_prefix_tokens:
            self._prefix_tokens = request.shared_prefix_tokens
            self._prefixes = _equal_shares(request.num_shared_prefixes, num, self._stream("prefix"))

    def _draw_leaving(self, num: int, aspect: str) -> npt.NDArray[np.bool_]:
        fraction = self._request.abandon.fraction if self._request.abandon is not None else 0.0
        return self._stream(aspect).random(num) < fraction

    # ---------------------------------------------------------------- one request

    def _num_prompt_tokens(self, k: int, turn: int) -> int | None:
        """Of the whole conversation so far, if its answers are as long as planned."""
        if isinstance(self._request, AgentRequest) or self._request.texts is not None:
            return None
        asked = int(self._first[k].sum()) + self._prefix_tokens
        if turn == 0:
            return asked
        assert self._outputs is not None
        start = int(self._later_start[k])
        later = int(self._later_sums[start + turn] - self._later_sums[start])
        return asked + later + turn * int(self._outputs[k])

    def _prompts(self, k: int, turn: int) -> tuple[Prompt, ...]:
        prefix: tuple[tuple[str, int], ...] = ()
        if turn == 0 and self._prefixes is not None:
            prefix = ((f"prefix:{self._request.label}:{self._prefixes[k]}", self._prefix_tokens),)
        if isinstance(self._request, AgentRequest) or self._request.texts is not None:
            start = int(self._text_start[k]) + turn * self._num_inputs
            return tuple(Prompt(prefix, number) for number in range(start, start + self._num_inputs))
        key = f"request:{self._request.label}:{k}:{turn}"
        if turn > 0:
            at = int(self._later_start[k]) + turn
            return (Prompt(((key, int(self._later_sums[at] - self._later_sums[at - 1])),)),)
        return tuple(
            Prompt((*prefix, (f"{key}:{number}", num_tokens)))
            for number, num_tokens in enumerate(self._first[k].tolist())
        )


def _starts(sizes: Lengths) -> Lengths:
    """Where each run of elements starts when runs of these sizes follow each other."""
    starts: Lengths = np.cumsum(sizes) - sizes
    return starts


def _equal_shares(num_kinds: int, num: int, rng: np.random.Generator) -> Lengths:
    """(num,) kinds, each as often as the others up to one, in an order without a period.

    Shuffled in rounds: a plain rotation would fall in step with a router's.
    """
    num_kinds = max(1, min(num_kinds, num))
    num_rounds = -(-num // num_kinds)
    rounds = np.tile(np.arange(num_kinds), (num_rounds, 1))
    shares: Lengths = rng.permuted(rounds, axis=1).ravel()[:num]
    return shares
