from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serve_app.engines.llamacpp.batching import StepShape, plan_steps, step_shape, take_window

Lengths = st.lists(st.integers(1, 256), max_size=60)


@given(st.integers(32, 4096), st.integers(8, 8192))
def test_a_step_never_leaves_a_rest_that_aborts_ggml(ubatch_tokens: int, longest: int) -> None:
    shape = step_shape(ubatch_tokens, longest)
    assert shape.max_tokens % shape.max_sequences == 0
    assert shape.max_tokens >= max(ubatch_tokens, longest)
    assert shape.max_tokens < max(ubatch_tokens, longest) + 32


def test_the_default_shape() -> None:
    assert step_shape(256, 256) == StepShape(256, 64)
    assert step_shape(256, 300) == StepShape(320, 64)
    assert step_shape(100, 100) == StepShape(128, 64)
    assert step_shape(96, 96) == StepShape(96, 32)


@given(Lengths, st.integers(1, 64))
def test_every_text_is_in_one_step_and_no_step_is_too_large(lengths: list[int], max_sequences: int) -> None:
    steps = plan_steps(lengths, StepShape(256, max_sequences))
    assert sorted(index for step in steps for index in step) == list(range(len(lengths)))
    for step in steps:
        assert sum(lengths[index] for index in step) <= 256
        assert 1 <= len(step) <= max_sequences


@given(Lengths)
def test_no_two_steps_would_fit_into_one(lengths: list[int]) -> None:
    loads = [sum(lengths[index] for index in step) for step in plan_steps(lengths, StepShape(256, 64))]
    assert all(a + b > 256 for at, a in enumerate(loads) for b in loads[at + 1 :]) or len(lengths) > 64


def test_short_texts_fill_what_long_ones_leave() -> None:
    assert plan_steps([20, 230, 30, 220], StepShape(256, 64)) == [[1, 0], [3, 2]]


@given(st.lists(Lengths, max_size=8), st.integers(64, 4096))
def test_a_window_keeps_its_budget_and_always_gets_on(waiting: list[list[int]], budget: int) -> None:
    counts = take_window(waiting, budget)
    taken = [length for lengths, count in zip(waiting, counts, strict=True) for length in lengths[:count]]
    assert all(count <= len(lengths) for count, lengths in zip(counts, waiting, strict=True))
    assert sum(taken) <= budget or len(taken) == 1
    assert bool(taken) == any(waiting)


def test_a_query_does_not_wait_behind_a_corpus() -> None:
    corpus, query = [200] * 1000, [10]
    assert take_window([corpus, query], 2048)[1] == 1


def test_what_one_request_leaves_goes_to_the_others() -> None:
    counts = take_window([[100] * 50, [10]], 2048)
    assert counts == [20, 1]
