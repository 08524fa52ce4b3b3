"""Generated texts have the tokens that were planned, follow from seed and key, and say so if they do not."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.prompts import generated
from benchmarks.prompts.candidates import CANDIDATES
from benchmarks.prompts.file_tokenizer import FileTokenizer
from benchmarks.prompts.generated import GeneratedPrompts, prepare_prompts

Parts = st.lists(st.tuples(st.text(max_size=8), st.integers(1, 300)), min_size=1, max_size=5)


@pytest.fixture(scope="session")
def tokenizer(bpe_file: Path) -> FileTokenizer:
    return FileTokenizer(bpe_file)


@pytest.fixture(scope="session")
def prompts(tokenizer: FileTokenizer) -> GeneratedPrompts:
    return prepare_prompts(7, [tokenizer])


@settings(max_examples=50)
@given(parts=Parts)
def test_texts_have_exactly_the_planned_tokens(
    prompts: GeneratedPrompts, tokenizer: FileTokenizer, parts: list[tuple[str, int]]
) -> None:
    assert prompts.exactness == "exact"
    assert tokenizer.count([prompts.compose(parts)]) == [sum(n for _, n in parts)]


@settings(max_examples=30)
@given(before=Parts, after=Parts)
def test_a_part_is_the_same_text_wherever_it_stands(
    prompts: GeneratedPrompts, before: list[tuple[str, int]], after: list[tuple[str, int]]
) -> None:
    whole = prompts.compose([*before, *after])
    assert whole == f"{prompts.compose(before)} {prompts.compose(after)}"


def test_the_order_of_calls_changes_nothing(word_counter: Any) -> None:
    keys = [(f"request:{index}", 40) for index in range(50)]
    forward, backward = prepare_prompts(3, [word_counter]), prepare_prompts(3, [word_counter])
    first = {key: forward.compose([(key, n)]) for key, n in keys}
    second = {key: backward.compose([(key, n)]) for key, n in reversed(keys)}
    assert first == second


def test_seeds_and_keys_give_other_texts_from_the_first_words_on(word_counter: Any) -> None:
    prompts, others = prepare_prompts(1, [word_counter]), prepare_prompts(2, [word_counter])
    starts = {" ".join(prompts.compose([(f"request:{index}", 64)]).split()[:6]) for index in range(2000)}
    starts |= {" ".join(others.compose([(f"request:{index}", 64)]).split()[:6]) for index in range(2000)}
    assert len(starts) == 4000


def test_texts_use_the_whole_vocabulary(word_counter: Any) -> None:
    words = prepare_prompts(1, [word_counter]).compose([("long", 20_000)]).split()
    assert len(set(words)) == 256
    assert max(words.count(word) for word in set(words)) < 2 * 20_000 / 256


def test_the_texts_are_the_same_in_every_version(word_counter: Any) -> None:
    """Schedules of a seed are compared across machines and releases."""
    assert prepare_prompts(1, [word_counter]).compose([("request:1", 6)]) == "of will can few night cold"


def test_blocks_are_kept_only_up_to_a_bound(word_counter: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generated, "MAX_CACHED_CHARS", 2000)
    prompts = prepare_prompts(1, [word_counter])
    before = prompts.compose([("shared", 100)])
    for index in range(100):
        prompts.compose([(f"request:{index}", 50)])
        assert sum(map(len, prompts._blocks.values())) == prompts._num_cached_chars <= 2000
    assert prompts.compose([("shared", 100)]) == before
    assert len(prompts.compose([("larger than the bound", 5000)])) > 2000
    assert prompts._num_cached_chars == 0


def test_the_least_recently_used_block_leaves_first(
    word_counter: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = prepare_prompts(1, [word_counter])
    prompts._blocks.clear()
    prompts._num_cached_chars = 0
    block_chars = {key: len(prompts.compose([(key, 50)])) for key in ("a", "b")}
    prompts.compose([("a", 50)])
    monkeypatch.setattr(generated, "MAX_CACHED_CHARS", sum(block_chars.values()))
    prompts.compose([("c", 1)])
    assert list(prompts._blocks) == [("a", 50), ("c", 1)]


def test_parts_of_nothing_leave_no_space(word_counter: Any) -> None:
    prompts = prepare_prompts(1, [word_counter])
    assert prompts.compose([("none", 0), ("some", 3)]) == prompts.compose([("some", 3)])
    assert prompts.compose([]) == ""
    with pytest.raises(ValueError, match="request:1 has -1 tokens"):
        prompts.compose([("request:1", -1)])


def test_without_one_token_words_lengths_are_near_and_said_to_be(byte_counter: Any) -> None:
    prompts = prepare_prompts(1, [byte_counter])
    assert prompts.exactness == "approximate"
    assert "bytes" in prompts.reason
    (counted,) = byte_counter.count([prompts.compose([("request:1", 2000)])])
    assert counted == pytest.approx(2000, rel=0.05)
    assert prompts.compose([("request:1", 1)])  # a prompt is never empty


def test_words_that_merge_with_each_other_are_found_out(counter: Any) -> None:
    """Every text of the search has the right count, and texts of the run have not."""

    def count(text: str) -> int:
        words = text.split()
        places = [CANDIDATES.index(word) for word in words]
        num_merged = sum(1 for one, other in pairwise(places) if one > other > 0)
        return len(words) - num_merged

    prompts = prepare_prompts(1, [counter(count, name="merging")])
    assert prompts.exactness == "approximate"
    assert "by merging" in prompts.reason
    assert "tokens per word" in prompts.reason


def test_two_models_that_disagree_on_whole_texts_are_not_called_exact(
    word_counter: Any, counter: Any
) -> None:
    lossy = counter(lambda text: min(len(text.split()), 150), name="lossy")
    prompts = prepare_prompts(1, [word_counter, lossy])
    assert prompts.exactness == "approximate"
    assert "by lossy" in prompts.reason


def test_without_a_counter_lengths_are_words(word_counter: Any) -> None:
    prompts = prepare_prompts(1, [], why="no usage")
    assert prompts.exactness == "approximate"
    assert prompts.reason == "no usage; lengths are words"
    assert word_counter.count([prompts.compose([("request:1", 33)])]) == [33]


def test_what_is_found_is_json(word_counter: Any) -> None:
    import msgspec

    found = msgspec.json.decode(msgspec.json.encode(prepare_prompts(1, [word_counter]).found()))
    assert found["exactness"] == "exact"
    assert found["tokenizers"] == ["words"]
    assert found["num_words"] == 256


def test_texts_of_files_come_through_the_same_source(word_counter: Any, tmp_path: Path) -> None:
    path = tmp_path / "questions.txt"
    path.write_text("one\ntwo\n")
    prompts = prepare_prompts(1, [word_counter])
    assert [prompts.fixed(path, index) for index in range(3)] == ["one", "two", "one"]


def test_seeding_anew_changes_the_texts_and_nothing_else() -> None:
    prompts = prepare_prompts(1, [])
    parts = [("prefix:0", 5), ("request:0", 3)]
    again = prompts.seeded(2)
    assert again.compose(parts) != prompts.compose(parts)
    assert again.compose(parts) == prepare_prompts(2, []).compose(parts)
    assert again.seeded(1).compose(parts) == prompts.compose(parts)
    assert (again.exactness, again.reason) == (prompts.exactness, prompts.reason)
