"""Which tokens go through the model in the next step. Pure: decides, computes nothing.

Texts that are being written get their one token each, whatever else there is. The rest of the step goes to prompts,
in the order in which they began: the first is finished before the next is read, for a prompt that is half read is
worth nothing to anybody. That is chunked prefill as in Sarathi-Serve (OSDI 2024); the piece is bounded by time, too,
for what a laptop reads of a small model within a second takes it a minute of a large one.
"""

from __future__ import annotations

from collections.abc import Sequence

# Shorter pieces say more of the calls around them than of the reading.
_TELLING_TOKENS = 16
_NEWEST_WEIGHT = 0.25


class ReadingPace:
    """How many tokens of prompts a step takes, so that those who are being written get theirs in time.

    Args:
        max_step_s: of a step, seconds. 0: whatever its tokens take.
        min_tokens: of prompts in a step, however slow the model is.
    """

    def __init__(self, max_step_s: float, min_tokens: int) -> None:
        self._max_step_s = max_step_s
        self._min_tokens = min_tokens
        self._seconds_per_token: float | None = None

    def observe(self, num_tokens: int, took_s: float) -> None:
        """Learn from a step with so many tokens of prompts."""
        if num_tokens < _TELLING_TOKENS:
            return
        seen = took_s / num_tokens
        before = self._seconds_per_token
        self._seconds_per_token = seen if before is None else before + _NEWEST_WEIGHT * (seen - before)

    def max_tokens(self, room: int) -> int:
        """Of prompts, in a step that has room for so many; before anything was seen, all of it."""
        if not self._max_step_s or not self._seconds_per_token:
            return room
        return min(room, max(self._min_tokens, int(self._max_step_s / self._seconds_per_token)))


def plan_step(num_left: Sequence[int], max_tokens: int, pace: ReadingPace) -> list[int]:
    """How many tokens of each text go next.

    Args:
        num_left: for each text, in the order in which they began, tokens that are known and not computed: 1 when it
            is being written, more while its prompt is read.
        max_tokens: of prompts in a step; the texts that are written have theirs besides.
        pace: bounds what is read where texts are being written; where none is, nobody waits for the step's end.

    Returns:
        A count per text, 0 for those whose turn comes later.
    """
    counts = [1 if num == 1 else 0 for num in num_left]
    room = pace.max_tokens(max_tokens) if any(counts) else max_tokens
    for index, num in enumerate(num_left):
        if num > 1 and room > 0:
            counts[index] = min(num, room)
            room -= counts[index]
    return counts
