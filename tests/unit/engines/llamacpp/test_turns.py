from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serve_app.engines.llamacpp.turns import ReadingPace, plan_step

_UNBOUNDED = ReadingPace(0, 32)


@given(st.lists(st.integers(1, 500), max_size=20), st.integers(20, 256))
def test_a_step_is_within_its_bounds(num_left: list[int], max_tokens: int) -> None:
    counts = plan_step(num_left, max_tokens, _UNBOUNDED)
    assert all(0 <= count <= left for count, left in zip(counts, num_left, strict=True))
    assert sum(count for count, left in zip(counts, num_left, strict=True) if left > 1) <= max_tokens


@given(st.lists(st.integers(1, 500), min_size=1, max_size=20), st.integers(20, 256))
def test_every_text_that_is_written_has_its_token_and_no_place_is_wasted(
    num_left: list[int], max_tokens: int
) -> None:
    counts = plan_step(num_left, max_tokens, _UNBOUNDED)
    assert all(count == 1 for count, left in zip(counts, num_left, strict=True) if left == 1)
    num_to_read = sum(left for left in num_left if left > 1)
    assert sum(counts) == num_left.count(1) + min(max_tokens, num_to_read)


def test_the_prompt_that_began_first_is_read_first() -> None:
    assert plan_step([1, 300, 300, 1], 256, _UNBOUNDED) == [1, 256, 0, 1]
    assert plan_step([40, 300, 30], 256, _UNBOUNDED) == [40, 216, 0]


def test_a_slow_model_reads_less_in_a_step_while_texts_are_written() -> None:
    pace = ReadingPace(max_step_s=1.0, min_tokens=32)
    assert plan_step([1, 600], 512, pace) == [1, 512]  # nothing is known of it yet
    pace.observe(512, took_s=5.12)  # 100 tokens a second
    assert plan_step([1, 600], 512, pace) == [1, 100]
    assert plan_step([600], 512, pace) == [512]  # nobody waits for the step's end
    for _ in range(50):
        pace.observe(32, took_s=16.0)
    assert plan_step([1, 600], 512, pace) == [1, 32]  # it goes on, however slow


def test_a_prompts_last_few_tokens_say_nothing_of_the_pace() -> None:
    pace = ReadingPace(max_step_s=1.0, min_tokens=32)
    pace.observe(2, took_s=0.1)
    assert pace.max_tokens(512) == 512
