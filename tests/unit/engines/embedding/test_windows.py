from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serve_app.engines.embedding.windows import step_tokens, take_window

Lengths = st.lists(st.integers(1, 256), max_size=60)


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


@given(st.lists(st.integers(1, 300), max_size=60), st.integers(1, 16), st.integers(32, 512))
def test_a_step_has_room_for_the_longest_text_and_keeps_its_bound(
    lengths: list[int], num_lanes: int, max_tokens: int
) -> None:
    found = step_tokens(lengths, num_lanes, max_tokens)
    assert found <= max_tokens
    assert found >= min(max_tokens, max(lengths, default=0))


def test_one_lane_has_steps_as_large_as_they_may_be() -> None:
    assert step_tokens([20] * 8, 1, 256) == 256


def test_the_steps_of_several_lanes_are_of_one_size() -> None:
    assert step_tokens([20] * 8, 2, 256) == 80  # two of 80, not one of 160
    assert step_tokens([20] * 30, 2, 256) == 150  # four of 150, not 256, 256 and 88
    assert step_tokens([200, 20], 2, 256) == 200
