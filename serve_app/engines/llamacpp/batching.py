"""Which texts go through the model together. Pure: decides, computes nothing.

Two decisions. A window is what the engine takes from its queue at once: every request gets its turn,
so that a search query does not wait behind a corpus. Steps are calls of llama.cpp: each window is
packed into as few as possible. No text is padded, so mixing lengths costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_ALIGN_TOKENS = 32
_MAX_SEQUENCES = 64  # more texts in a step gain nothing: a step is full of tokens long before


@dataclass(frozen=True, slots=True)
class StepShape:
    """The size of one call: tokens, and texts."""

    max_tokens: int
    max_sequences: int


def step_shape(ubatch_tokens: int, longest_text: int) -> StepShape:
    """The shape of a step.

    A text must fit into one step, because an encoder looks at all of it at once. And llama.cpp plans
    its memory for `max_tokens` spread evenly over `max_sequences`: where that leaves a rest, ggml
    aborts the process (320 tokens with 256 sequences did). Both are multiples of 32 here.
    """
    wanted = max(ubatch_tokens, longest_text)
    max_tokens = -(-wanted // _ALIGN_TOKENS) * _ALIGN_TOKENS
    max_sequences = _MAX_SEQUENCES if max_tokens % _MAX_SEQUENCES == 0 else _ALIGN_TOKENS
    return StepShape(max_tokens, max_sequences)


def take_window(waiting: Sequence[Sequence[int]], budget_tokens: int) -> list[int]:
    """How many texts of each request go next, from its front.

    Args:
        waiting: for each request, in order of arrival, the lengths of its texts that wait.
        budget_tokens: tokens of a window; one text is taken even if it is longer.

    Returns:
        A count per request. The budget is shared evenly; what one does not use goes to the next.
    """
    counts = [0] * len(waiting)
    left = budget_tokens
    open_requests = [index for index, lengths in enumerate(waiting) if lengths]
    while open_requests and left > 0:
        share = max(1, left // len(open_requests))
        still_open = []
        for index in open_requests:
            spent = 0
            lengths = waiting[index]
            while counts[index] < len(lengths) and spent < share and left > 0:
                length = lengths[counts[index]]
                if length > left and any(counts):
                    return counts
                counts[index] += 1
                spent += length
                left -= length
            if counts[index] < len(lengths):
                still_open.append(index)
        open_requests = still_open
    return counts


def plan_steps(lengths: Sequence[int], shape: StepShape) -> list[list[int]]:
    """Indices of the texts that go together, a list a step: longest first, each into the first step
    that has room (first-fit decreasing).
    """
    steps: list[list[int]] = []
    room: list[int] = []
    first_open = 0  # steps before it have no room for any text that is still to come
    shortest = min(lengths, default=0)
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        length = lengths[index]
        while first_open < len(steps) and (
            room[first_open] < shortest or len(steps[first_open]) == shape.max_sequences
        ):
            first_open += 1
        for at in range(first_open, len(steps)):
            if room[at] >= length and len(steps[at]) < shape.max_sequences:
                steps[at].append(index)
                room[at] -= length
                break
        else:
            steps.append([index])
            room.append(shape.max_tokens - length)
    return steps
