"""Whose texts go next, and in steps of which size. Pure.

A window is what the engine takes from its queue at once: every request gets its turn, so that a search query
does not wait behind a corpus. How a window's texts go through the model is the encoder's affair.
"""

from __future__ import annotations

from collections.abc import Sequence


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


def step_tokens(lengths: Sequence[int], num_lanes: int, max_tokens: int) -> int:
    """Most tokens of a step, so that the steps of all lanes take about as long; at least the longest text's."""
    if num_lanes == 1 or not lengths:
        return max_tokens
    num_tokens = sum(lengths)
    num_rounds = -(-num_tokens // (num_lanes * max_tokens))
    return min(max_tokens, max(*lengths, -(-num_tokens // (num_lanes * num_rounds))))
