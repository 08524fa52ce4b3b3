from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serve_app.engines.embedding.windows import take_window

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
