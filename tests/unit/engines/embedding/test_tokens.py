from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from serve_app.engines.embedding.tokens import TextTokens
from serve_app.errors import BadRequest, InputTooLong

START, END, NUM_KNOWN = 1000, 1001, 1100


class LetterModel:
    """A token a letter; START before and END after a text."""

    num_vocabulary = NUM_KNOWN

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> NDArray[np.int32]:
        assert not parse_special
        ids = [ord(letter) for letter in text]
        return np.asarray([START, *ids, END] if add_special else ids, dtype=np.int32)


def tokens(limit: int = 10, prefix: str = "") -> TextTokens:
    return TextTokens(LetterModel(), "letters", limit, prefix)


def ids(text: str) -> list[int]:
    return [ord(letter) for letter in text]


def test_special_tokens_go_around_and_are_not_counted_as_text() -> None:
    prepared = tokens().prepare(["ab", ""], is_query=False, truncate=False)
    assert [t.tolist() for t in prepared.tokens] == [[START, *ids("ab"), END], [START, END]]
    assert tokens().count("ab") == 2


def test_too_long_names_the_text_and_both_numbers() -> None:
    with pytest.raises(InputTooLong, match=r"input\.1 has 11 tokens; letters takes 10") as caught:
        tokens().prepare(["ok", "abcdefghi"], is_query=False, truncate=False)
    assert caught.value.param == "input.1"


def test_truncation_keeps_the_special_tokens_and_is_counted() -> None:
    prepared = tokens().prepare(["abcdefghi", "abcdefgh"], is_query=False, truncate=True)
    assert [t.tolist() for t in prepared.tokens] == [[START, *ids("abcdefgh"), END]] * 2
    assert prepared.num_truncated == 1


def test_the_prefix_is_for_queries_only() -> None:
    prefixed = tokens(prefix="q:")
    assert prefixed.prepare(["a"], is_query=True, truncate=False).tokens[0].tolist() == [
        START,
        *ids("q:a"),
        END,
    ]
    assert prefixed.prepare(["a"], is_query=False, truncate=False).tokens[0].tolist() == [
        START,
        *ids("a"),
        END,
    ]
    assert prefixed.prepare([ids("a")], is_query=True, truncate=False).tokens[0].tolist() == [
        START,
        *ids("q:a"),
        END,
    ]


@pytest.mark.parametrize("given", [ids("ab"), [START, *ids("ab"), END], [START, *ids("ab")]])
def test_token_ids_are_the_texts_own_or_complete(given: list[int]) -> None:
    assert tokens().prepare([given], is_query=False, truncate=False).tokens[0].tolist() == [
        START,
        *ids("ab"),
        END,
    ]


@pytest.mark.parametrize("bad", [-1, NUM_KNOWN, 2**63])
def test_an_unknown_token_is_named(bad: int) -> None:
    with pytest.raises(BadRequest, match=rf"input\.0\.1: letters has tokens 0 to 1099, not {bad}"):
        tokens().prepare([[5, bad]], is_query=False, truncate=False)
