"""Which words are one token, and how little has to be asked to know it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.prompts.candidates import CANDIDATES
from benchmarks.prompts.file_tokenizer import FileTokenizer
from benchmarks.prompts.vocabulary import MAX_WORDS, find_vocabulary


def test_the_candidates_are_distinct_plain_words() -> None:
    assert len(set(CANDIDATES)) == len(CANDIDATES) > 2 * MAX_WORDS
    assert all(word.isascii() and word.isalpha() and word.islower() for word in CANDIDATES)


def test_where_every_word_is_a_token_few_texts_are_asked(word_counter: Any) -> None:
    vocabulary, why = find_vocabulary([word_counter], CANDIDATES)
    assert (vocabulary.words, why) == (CANDIDATES[:MAX_WORDS], "")
    assert len(word_counter.asked) <= 8 + MAX_WORDS // 64


def test_exactly_the_words_of_one_token_are_found(bpe_file: Path) -> None:
    tokenizer = FileTokenizer(bpe_file)
    whole = [word for word in CANDIDATES if tokenizer.count([f"the {word}"]) == [2]]
    assert MAX_WORDS < len(whole) < len(CANDIDATES)  # parts of the known words are tokens, too
    vocabulary, _ = find_vocabulary([tokenizer], CANDIDATES)
    assert vocabulary is not None
    assert list(vocabulary.words) == whole[:MAX_WORDS]
    assert all(tokenizer.count([word]) == [1] for word in vocabulary.starters)


@settings(max_examples=40)
@given(bad=st.sets(st.sampled_from(CANDIDATES[1:]), max_size=600))
def test_words_of_two_tokens_are_left_out_wherever_they_stand(bad: set[str]) -> None:
    class Counter:
        name = "some"
        is_remote = False

        def count(self, texts: list[str]) -> list[int]:
            return [sum(2 if word in bad else 1 for word in text.split()) for text in texts]

    vocabulary, why = find_vocabulary([Counter()], CANDIDATES)
    if vocabulary is None:
        assert why
    else:
        assert not bad & {*vocabulary.words, *vocabulary.starters}
        assert len(vocabulary.words) in (16, 32, 64, 128, 256)


def test_several_tokenizers_share_the_words_they_all_have(
    bpe_file: Path, word_counter: Any, counter: Any
) -> None:
    short = counter(lambda text: sum(1 if len(word) < 5 else 2 for word in text.split()), name="short")
    vocabulary, _ = find_vocabulary([word_counter, short, FileTokenizer(bpe_file)], CANDIDATES)
    assert vocabulary is not None
    assert all(len(word) < 5 for word in vocabulary.words)
    assert FileTokenizer(bpe_file).count([" ".join(vocabulary.words)]) == [len(vocabulary.words)]


def test_words_that_are_whole_only_after_a_space_do_not_begin_texts(counter: Any) -> None:
    def count(text: str) -> int:
        first, *others = text.split()
        return (1 if first in ("the", "of", "and") else 3) + len(others)

    vocabulary, _ = find_vocabulary([counter(count)], CANDIDATES)
    assert vocabulary.starters == ("the", "of")  # a power of two of them
    assert len(vocabulary.words) == MAX_WORDS


@pytest.mark.parametrize(
    ("count", "why"),
    [
        (lambda text: len(text), "no common word as one token"),
        (lambda text: 1 + 3 * text.count(" "), "0 of"),
        (lambda text: 2 + text.count(" "), "at the start of a text"),
    ],
    ids=["characters", "three tokens a word", "one more at the start"],
)
def test_a_tokenizer_without_such_words_is_told_apart(counter: Any, count: Any, why: str) -> None:
    asked = counter(count, name="odd")
    vocabulary, said = find_vocabulary([asked], CANDIDATES)
    assert vocabulary is None
    assert said.startswith("odd")
    assert why in said


def test_a_server_is_not_asked_without_end(counter: Any) -> None:
    def count(text: str) -> int:  # every second word: the worst case for halving
        return sum(1 + CANDIDATES.index(word) % 2 for word in text.split())

    remote = counter(count, is_remote=True)
    vocabulary, _ = find_vocabulary([remote], CANDIDATES)
    assert len(remote.asked) <= 8 + 600
    assert len(vocabulary.words) >= 64
