from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.embeddings.cases import Case
from benchmarks.embeddings.texts import NUM_SPECIAL, prepare_texts
from benchmarks.errors import BenchmarkError


def count(texts: Sequence[str]) -> list[int]:
    return [2 * len(text.split()) for text in texts]


def test_made_up_texts_fit_every_side_and_come_again_with_the_seed() -> None:
    found = prepare_texts(None, 20, 7, count)
    assert found == prepare_texts(None, 20, 7, count)
    assert found != prepare_texts(None, 20, 8, count)
    assert len(found["short"].texts) == 20
    for kind, least, most in (("short", 8, 47), ("long", 170, 250)):
        texts = found[kind]  # type: ignore[index]
        assert [num - NUM_SPECIAL for num in texts.num_tokens] == count(texts.texts)
        assert all(least <= num - NUM_SPECIAL <= most for num in texts.num_tokens)


def test_a_mix_has_as_many_tokens_of_long_texts_as_of_short_ones() -> None:
    found = prepare_texts(None, 40, 1, count)
    mixed = found["mixed"]
    long = [
        num for text, num in zip(mixed.texts, mixed.num_tokens, strict=True) if text in found["long"].texts
    ]
    assert 0.7 < sum(long) / sum(found["short"].num_tokens) < 1.4


def test_a_folder_of_judged_texts_is_read(tmp_path: Path) -> None:
    (tmp_path / "queries.jsonl").write_text(json.dumps({"_id": "1", "text": "claim " * 10}) + "\n")
    lines = [{"_id": str(num), "title": "t", "text": "word " * num} for num in (10, 100, 500)]
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = prepare_texts(tmp_path, 5, 0, count)
    assert found["short"].num_tokens == [22]
    assert found["long"].num_tokens == [204]


def test_a_folder_without_texts_is_named(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="is no folder of texts"):
        prepare_texts(tmp_path, 5, 0, count)
    with pytest.raises(BenchmarkError, match="no text of 8 to 47 tokens"):
        prepare_texts(None, 5, 0, lambda texts: [1000] * len(texts))


def test_a_case_is_two_numbers() -> None:
    assert Case.parse("32x64") == Case(32, 64)
    assert str(Case(1, 64)) == "1x64"
    for wrong in ("32", "0x1", "ax1"):
        with pytest.raises(ValueError, match=r".*"):
            Case.parse(wrong)
