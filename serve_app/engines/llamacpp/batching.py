"""Which texts go through llama.cpp together, and where in the batch. Pure: decides, computes nothing.

A step is one call of llama.cpp; a window's texts are packed into as few as possible. No text is padded, so mixing
lengths costs nothing; unless each text's vector must be the same within 1e-6 whatever it is batched with.

Why it is not without that: llama.cpp's flash attention goes through the batch in tiles of 64 tokens, rounds at the
border of each, adds up lanes of 16, and takes another way altogether for batches below 64 tokens. The difference
is of the size of one rounding in float32, but what is multiplied next is rounded to 16 bits, which now and then
makes a step of it. In a reproducible batch each text therefore begins where it would begin alone: at the start of
a tile, or, if it fits into the rest of one, at the start of a lane.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from serve_app.engines.embedding.windows import step_tokens

_ALIGN_TOKENS = 32
_MAX_SEQUENCES = 64  # more texts in a step gain nothing: a step is full of tokens long before
# ggml-cpu/common.h: GGML_FA_TILE_Q and GGML_FA_TILE_KV; and floats of the widest vector register (AVX-512).
_TILE_TOKENS = 64
_LANE_TOKENS = 16


@dataclass(frozen=True, slots=True)
class StepShape:
    """The size of one call: tokens, and sequences."""

    max_tokens: int
    max_sequences: int
    is_reproducible: bool = False

    @property
    def max_texts(self) -> int:
        return self.max_sequences - 1 if self.is_reproducible else self.max_sequences

    @property
    def filler_sequence(self) -> int:
        """The sequence that the tokens between the texts belong to."""
        return self.max_sequences - 1


def step_shape(ubatch_tokens: int, longest_text: int, *, reproducible: bool = False) -> StepShape:
    """The shape of a step.

    A text must fit into one step, because an encoder looks at all of it at once. And llama.cpp plans
    its memory for `max_tokens` spread evenly over `max_sequences`: where that leaves a rest, ggml
    aborts the process (320 tokens with 256 sequences did). Both are multiples of 32 here.
    """
    align = _TILE_TOKENS if reproducible else _ALIGN_TOKENS
    max_tokens = _aligned(max(ubatch_tokens, longest_text), align)
    max_sequences = _MAX_SEQUENCES if max_tokens % _MAX_SEQUENCES == 0 else _ALIGN_TOKENS
    return StepShape(max_tokens, max_sequences, reproducible)


class Layout:
    """Where the texts of one step lie."""

    def __init__(self, shape: StepShape) -> None:
        self._shape = shape
        self._num_texts = 0
        self._end = 0  # of the texts so far

    @property
    def num_free(self) -> int:
        """Tokens that no text has; 0 if no more texts may come."""
        return self._shape.max_tokens - self._end if self._num_texts < self._shape.max_texts else 0

    def gap_before(self, length: int) -> int:
        """Tokens to fill before a text of so many tokens."""
        if not self._shape.is_reproducible:
            return 0
        start = _aligned(self._end, _LANE_TOKENS)
        if start % _TILE_TOKENS + length > _TILE_TOKENS:
            start = _aligned(self._end, _TILE_TOKENS)
        return start - self._end

    def gap_at_end(self) -> int:
        """Tokens to fill after the last text, so that the batch takes the way of larger ones."""
        return max(0, _TILE_TOKENS - self._end) if self._shape.is_reproducible else 0

    def has_room(self, length: int) -> bool:
        return self.gap_before(length) + length <= self.num_free

    def add(self, length: int) -> None:
        self._end += self.gap_before(length) + length
        self._num_texts += 1


def plan_steps(lengths: Sequence[int], shape: StepShape, num_lanes: int = 1) -> list[list[int]]:
    """Indices of the texts that go together, a list a step: longest first, each into the first step
    that has room (first-fit decreasing).

    Args:
        num_lanes: as of `Encoder.plan`.
    """
    shape = replace(shape, max_tokens=step_tokens(lengths, num_lanes, shape.max_tokens))
    steps: list[list[int]] = []
    layouts: list[Layout] = []
    first_open = 0  # steps before it have no room for any text that is still to come
    shortest = min(lengths, default=0)
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        while first_open < len(steps) and layouts[first_open].num_free < shortest:
            first_open += 1
        for at in range(first_open, len(steps)):
            if layouts[at].has_room(lengths[index]):
                break
        else:
            at = len(steps)
            steps.append([])
            layouts.append(Layout(shape))
        steps[at].append(index)
        layouts[at].add(lengths[index])
    return steps


def _aligned(num: int, to: int) -> int:
    return -(-num // to) * to
