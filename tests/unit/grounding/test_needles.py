"""What a text must hold for an expression to match: never more than it must."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serve_app.grounding.needles import may_match, needles_of
from serve_app.grounding.suspicion import _PHRASES

PHRASES = [phrase for _, _, phrase in _PHRASES]


def test_a_word_of_each_group_has_to_be_there() -> None:
    groups = needles_of(r"\b(?:ignore|forget)\b[^.]{0,20}\b(?:rules?|orders)\b")
    assert [set(group) for group in groups] == [{"ignore", "forget"}, {"rule", "orders"}]
    assert may_match(groups, "forget the rules")
    assert not may_match(groups, "forget the reef")
    assert not may_match(groups, "the rules of the reef")


@pytest.mark.parametrize(
    "regex",
    [
        r"(?:word|\d+)",  # one branch has no word
        r"(?:word)?",
        r"(?:word){0,3}",
        r"(?i:word)",
        r"(?i)word",
        r"(?!word)",
        r"[a-z]+",
        r"[^w]ord?",
    ],
)
def test_what_may_be_missing_is_not_asked_for(regex: str) -> None:
    assert all(group == ("or",) for group in needles_of(regex))


def test_what_stands_in_a_repetition_is_asked_for_once() -> None:
    assert needles_of(r"x(?:word){1,3}y") == (("word",),)


@pytest.mark.parametrize("phrase", PHRASES)
@settings(max_examples=20, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(data=st.data())
def test_whatever_a_phrase_matches_has_its_words(phrase: str, data: st.DataObject) -> None:
    text = data.draw(st.from_regex(phrase))
    assert re.search(phrase, text)
    assert may_match(needles_of(phrase), text)
