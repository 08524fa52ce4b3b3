from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serve_app.engines.llamacpp.batching import Layout, StepShape, plan_steps, step_shape

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


@given(Lengths)
def test_reproducible_texts_begin_where_they_would_alone(lengths: list[int]) -> None:
    shape = step_shape(256, 256, reproducible=True)
    steps = plan_steps(lengths, shape)
    assert sorted(index for step in steps for index in step) == list(range(len(lengths)))
    for step in steps:
        layout, end = Layout(shape), 0
        for index in step:
            start = end + layout.gap_before(lengths[index])
            layout.add(lengths[index])
            end = start + lengths[index]
            # Inside one tile of 64, or from the beginning of one.
            assert start % 64 == 0 or (start % 16 == 0 and start // 64 == (end - 1) // 64)
        assert 64 <= end + layout.gap_at_end() <= shape.max_tokens
        assert len(step) < shape.max_sequences  # one is the filler's


@given(Lengths, st.sets(st.integers(0, 60)))
def test_a_step_still_fits_when_some_of_its_callers_left(lengths: list[int], left: set[int]) -> None:
    shape = step_shape(256, 256, reproducible=True)
    for step in plan_steps(lengths, shape):
        layout = Layout(shape)
        for index in (index for index in step if index not in left):
            assert layout.has_room(lengths[index])
            layout.add(lengths[index])


def test_without_it_nothing_is_filled() -> None:
    layout = Layout(StepShape(256, 64))
    layout.add(5)
    assert (layout.gap_before(200), layout.gap_at_end()) == (0, 0)
