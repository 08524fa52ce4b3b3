"""Which tokens go through the model in the next step. Pure: decides, computes nothing.

Texts that are being written get their one token each, whatever else there is. What they leave of the step goes to
prompts, in the order in which they began: the first is finished before the next is read, for a prompt that is
half read is worth nothing to anybody. That is chunked prefill as in Sarathi-Serve (OSDI 2024).
"""

from __future__ import annotations

from collections.abc import Sequence


def plan_step(num_left: Sequence[int], max_tokens: int) -> list[int]:
    """How many tokens of each text go next.

    Args:
        num_left: for each text, in the order in which they began, tokens that are known and not computed: 1 when it
            is being written, more while its prompt is read.
        max_tokens: of a step; at least one for each text.

    Returns:
        A count per text, 0 for those whose turn comes later.
    """
    counts = [1 if num == 1 else 0 for num in num_left]
    room = max_tokens - sum(counts)
    for index, num in enumerate(num_left):
        if num > 1 and room > 0:
            counts[index] = min(num, room)
            room -= counts[index]
    return counts
