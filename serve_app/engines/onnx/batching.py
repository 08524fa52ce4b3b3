"""Which texts go through ONNX Runtime together. Pure: decides, computes nothing.

All texts of a step are padded to its longest, so texts of like lengths go together; and a step has a cost of its
own, so that ten short texts go faster in one than in ten.
"""

from __future__ import annotations

from collections.abc import Sequence

from serve_app.engines.embedding.windows import step_tokens

# What a step costs besides its tokens, in tokens, about: a call goes through some 40 operators, each of which hands
# out work and waits for it. It decides between padding a little and one step more; neither costs much.
STEP_COST_TOKENS = 16


def plan_steps(lengths: Sequence[int], max_tokens: int, num_lanes: int = 1) -> list[list[int]]:
    """Indices of the texts that go together, a list a step, at the least cost.

    The cost of a step is its texts times its longest one, and STEP_COST_TOKENS; none has more than `max_tokens`,
    padding included, but for a single text that is longer. Texts that go together are neighbours by length, so
    the best cut of the sorted texts is the best of all: found by dynamic programming.

    Args:
        num_lanes: as of `Encoder.plan`.
    """
    max_tokens = step_tokens(lengths, num_lanes, max_tokens)
    order = sorted(range(len(lengths)), key=lambda index: lengths[index])
    best: list[float] = [0.0]  # best[n]: the least cost of the n shortest texts
    starts: list[int] = [0]  # starts[n]: where the last of their steps begins
    for end in range(1, len(order) + 1):
        longest = lengths[order[end - 1]]
        most = max(1, max_tokens // max(1, longest))
        costs = (
            (best[start] + (end - start) * longest + STEP_COST_TOKENS, start)
            for start in range(max(0, end - most), end)
        )
        cost, start = min(costs)
        best.append(cost)
        starts.append(start)
    steps = []
    end = len(order)
    while end:
        steps.append(order[starts[end] : end])
        end = starts[end]
    return steps
