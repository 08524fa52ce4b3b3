from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serve_app.engines.llamacpp.turns import plan_step


@given(st.lists(st.integers(1, 500), max_size=20), st.integers(20, 256))
def test_a_step_is_within_its_bounds(num_left: list[int], max_tokens: int) -> None:
    counts = plan_step(num_left, max_tokens)
    assert all(0 <= count <= left for count, left in zip(counts, num_left, strict=True))
    assert sum(counts) <= max_tokens


@given(st.lists(st.integers(1, 500), min_size=1, max_size=20), st.integers(20, 256))
def test_every_text_that_is_written_has_its_token_and_no_place_is_wasted(
    num_left: list[int], max_tokens: int
) -> None:
    counts = plan_step(num_left, max_tokens)
    assert all(count == 1 for count, left in zip(counts, num_left, strict=True) if left == 1)
    assert sum(counts) == min(max_tokens, sum(num_left))


def test_the_prompt_that_began_first_is_read_first() -> None:
    assert plan_step([1, 300, 300, 1], 256) == [1, 254, 0, 1]
    assert plan_step([40, 300, 30], 256) == [40, 216, 0]
