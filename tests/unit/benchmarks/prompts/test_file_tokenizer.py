"""A local tokenizer.json counts the text itself, whole."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks.errors import CannotCount
from benchmarks.prompts.file_tokenizer import FileTokenizer


def test_counts_without_special_tokens_and_without_cutting(
    bpe_file: Path, known_words: tuple[str, ...]
) -> None:
    text = " ".join(known_words[:100])  # the file says to cut at 24 tokens and to put one in front
    assert FileTokenizer(bpe_file).count(["the", text, ""]) == [1, 100, 0]


def test_a_folder_stands_for_its_tokenizer(bpe_file: Path) -> None:
    tokenizer = FileTokenizer(bpe_file.parent)
    assert tokenizer.count(["the of"]) == [2]
    assert tokenizer.name == f"{bpe_file.parent.name}/tokenizer.json"


def test_the_home_folder_is_expanded(bpe_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(bpe_file.parent))
    assert FileTokenizer(Path("~/tokenizer.json")).count(["the"]) == [1]


@pytest.mark.parametrize("content", ["", "not json", "{}", json.dumps({"model": {"type": "Unheard"}})])
def test_what_is_no_tokenizer_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(CannotCount, match=r"tokenizer\.json is not a tokenizer"):
        FileTokenizer(tmp_path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CannotCount, match=r"no tokenizer file .*nothing\.json"):
        FileTokenizer(tmp_path / "nothing.json")


def test_naming_it_loads_no_library(bpe_file: Path) -> None:
    import subprocess

    script = "import sys, benchmarks.prompts.choose; print('tokenizers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
