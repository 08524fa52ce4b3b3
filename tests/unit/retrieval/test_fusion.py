from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from serve_app.retrieval.fusion import reciprocal_rank_fusion

RANKING = st.lists(st.sampled_from("abcdefgh"), unique=True)


def test_scores_are_those_of_the_paper() -> None:
    fused = dict(reciprocal_rank_fusion([["a", "b"], ["b", "c"]], rank_constant=60))
    assert fused == pytest.approx({"a": 1 / 61, "b": 1 / 62 + 1 / 61, "c": 1 / 62})


def test_what_both_rankings_have_goes_first() -> None:
    assert [item for item, _ in reciprocal_rank_fusion([["x", "both"], ["y", "both"]])] == ["both", "x", "y"]


def test_ties_go_to_the_better_rank_then_to_the_smaller_id() -> None:
    assert [item for item, _ in reciprocal_rank_fusion([["b"], ["a"]])] == ["a", "b"]


def test_nothing_ranked_gives_nothing() -> None:
    assert reciprocal_rank_fusion([]) == []
    assert reciprocal_rank_fusion([[], []]) == []


@given(st.lists(RANKING, max_size=3))
@example([list("aebcdfh"), list("eh"), list("habcdfe")])  # e and h have the same three parts
def test_order_of_the_rankings_does_not_matter(rankings: list[list[str]]) -> None:
    forward = reciprocal_rank_fusion(rankings)
    assert [item for item, _ in forward] == [item for item, _ in reciprocal_rank_fusion(rankings[::-1])]
    assert {item for item, _ in forward} == {item for ranking in rankings for item in ranking}
    scores = [score for _, score in forward]
    assert scores == sorted(scores, reverse=True)


@given(RANKING)
def test_one_ranking_keeps_its_order(ranking: list[str]) -> None:
    assert [item for item, _ in reciprocal_rank_fusion([ranking])] == ranking
