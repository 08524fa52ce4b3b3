"""Damage to a text: which tokens came twice, which did not come."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.conformance.alignment import Damage, damage, tokens

WORDS = st.lists(st.sampled_from(["manta ", "ray ", "glides "]), max_size=12)


def test_a_text_that_came_as_expected_is_whole() -> None:
    assert damage("one two three ", "one two three ", is_whole=True) == Damage()


def test_a_stream_that_was_cut_misses_nothing_that_lies_after_the_cut() -> None:
    assert damage("one two ", "one two three ", is_whole=False) == Damage()


def test_a_stream_that_ended_well_misses_what_it_left_out_at_its_end() -> None:
    assert damage("one two ", "one two three ", is_whole=True) == Damage(missing=(2,))


def test_a_token_that_came_twice_is_found_where_it_came_again() -> None:
    found = damage("one two two three ", "one two three ", is_whole=True)
    assert len(found.doubled) == 1
    assert found.doubled[0] in (1, 2)
    assert not found.missing


def test_a_token_that_was_left_out_is_found_also_in_a_stream_that_was_cut() -> None:
    assert damage("one three four ", "one two three four five ", is_whole=False) == Damage(missing=(1,))


def test_a_repeated_beginning_is_found_in_a_stream_that_was_cut() -> None:
    """A continuation that starts from the beginning again, and is cut itself."""
    assert len(damage("a b c a b c ", "a b c d e f ", is_whole=False).doubled) == 3


def test_a_wrong_token_is_one_too_many_and_one_missing() -> None:
    assert damage("one dos three ", "one two three ", is_whole=True) == Damage(doubled=(1,), missing=(1,))


def test_tokens_are_words_with_their_white_space() -> None:
    assert tokens("one  two\nthree") == ["one  ", "two\n", "three"]


@given(WORDS, WORDS)
def test_what_came_follows_from_what_was_expected_and_the_damage(
    came: list[str], expected: list[str]
) -> None:
    found = damage("".join(came), "".join(expected), is_whole=True)
    kept = [word for position, word in enumerate(expected) if position not in found.missing]
    ours = [word for position, word in enumerate(came) if position not in found.doubled]
    assert kept == ours


@given(WORDS, st.integers(0, 12))
def test_every_beginning_is_undamaged(expected: list[str], num: int) -> None:
    assert not damage("".join(expected[:num]), "".join(expected), is_whole=False)
