from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from serve_app.engines.onnx.batching import STEP_COST_TOKENS, plan_steps

Lengths = st.lists(st.integers(1, 256), max_size=60)


def cost(lengths: list[int], steps: list[list[int]]) -> int:
    return sum(len(step) * max(lengths[index] for index in step) + STEP_COST_TOKENS for step in steps)


@given(Lengths, st.integers(32, 512))
def test_every_text_is_in_one_step_and_only_a_lone_one_is_over_the_budget(
    lengths: list[int], max_tokens: int
) -> None:
    steps = plan_steps(lengths, max_tokens)
    assert sorted(index for step in steps for index in step) == list(range(len(lengths)))
    for step in steps:
        assert len(step) == 1 or len(step) * max(lengths[index] for index in step) <= max_tokens


@given(st.lists(st.integers(1, 64), min_size=1, max_size=7))
def test_no_other_cut_of_the_sorted_texts_is_cheaper(lengths: list[int]) -> None:
    found = cost(lengths, plan_steps(lengths, 96))
    order = sorted(range(len(lengths)), key=lambda index: lengths[index])
    for cuts in itertools.product((False, True), repeat=len(order) - 1):
        steps = [[order[0]]]
        for index, is_cut in zip(order[1:], cuts, strict=True):
            if is_cut:
                steps.append([])
            steps[-1].append(index)
        if all(len(step) == 1 or len(step) * max(lengths[i] for i in step) <= 96 for step in steps):
            assert found <= cost(lengths, steps)


def test_short_texts_go_together_and_long_ones_alone() -> None:
    steps = plan_steps([22] * 11 + [218] * 3, 256)
    assert sorted(map(len, steps)) == [1, 1, 1, 11]


def test_a_short_text_is_not_padded_to_a_long_one() -> None:
    assert sorted(map(sorted, plan_steps([10, 100, 11, 98], 256))) == [[0, 2], [1, 3]]


def test_no_texts_need_no_steps() -> None:
    assert plan_steps([], 256) == []
