"""What makes two questions different although they look alike."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.answer_cache.questions import ask_differently


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is 5 + 3?", "What is 5 + 4?"),
        ("Add 5 and 5.", "Add 5."),
        ("How far is 5 km?", "How far is 5 miles?"),
        ("Is it safe?", "Is it not safe?"),
        ("Who doesn't pay?", "Who does pay?"),
        ("Where is Paris?", "Where is London?"),
        ("Open at Easter?", "Open at Christmas?"),
        ("Closed on Monday?", "Closed on Tuesday?"),
        ("What is due tomorrow?", "What is due today?"),
        ("When was Curie born?", "Where was Curie born?"),
        ("How do I enable it?", "How do I disable it?"),
        ("From Rome to Oslo", "From Oslo to Rome"),
        ("10 km to miles", "miles to 10 km"),
        ("Export my data", "Import my data"),
        ("Release on 2024-05-01", "Release on 2024-05-02"),
        ("Is the S3 bucket full?", "Is the S4 bucket full?"),
        ("Is green tea healthy?", "Is black tea healthy?"),
        ("How do I add a user to a group?", "How do I add a group to a user?"),
        ("How long is shipping to Canada?", "How long is shipping from Canada?"),
        ("How many miles are 5 km?", "How many km are 5 miles?"),
    ],
)
def test_what_is_different(one: str, other: str) -> None:
    assert ask_differently(one, other)
    assert ask_differently(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is 1,000 plus two?", "2 plus 1000 is what?"),
        ("How do I reset my password?", "What are the steps to reset my password?"),
        ("France's capital?", "What is the capital of France?"),
        ("How many km are five miles?", "Five miles is how many kilometers?"),
        ("When does it end?", "On what date does it end?"),
        ("can't I leave?", "I cannot leave?"),
        ("Der Rochen schwimmt", "Der Rochen schwimmt schnell"),
    ],
)
def test_what_is_not(one: str, other: str) -> None:
    assert not ask_differently(one, other)


@given(st.text(max_size=60), st.text(max_size=60))
def test_it_is_the_same_both_ways_round_and_never_with_itself(one: str, other: str) -> None:
    assert ask_differently(one, other) == ask_differently(other, one)
    assert not ask_differently(one, one)


@given(
    st.lists(st.sampled_from(["from", "to", "into", "x", "y", "5", "km", "not", "Rome"]), max_size=8).map(
        " ".join
    )
)
def test_nor_where_directions_meet(text: str) -> None:
    assert not ask_differently(text, text)
