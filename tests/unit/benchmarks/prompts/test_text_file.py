"""Files of prompts, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.prompts.text_file import TextFiles, read_texts


def write(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def test_a_txt_file_has_one_prompt_a_line(tmp_path: Path) -> None:
    path = write(tmp_path, "a.txt", "\ufeffWhat is a manta?\r\n\n  Où?\u2028Là. \nLast".encode())
    assert read_texts(path) == ("What is a manta?", "Où?\u2028Là.", "Last")


def test_a_jsonl_file_has_one_object_a_line(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", b'{"prompt": "a\\nb", "id": 7}\n\n{"prompt": " c "}\n')
    assert read_texts(path) == ("a\nb", " c ")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", b"", "a.txt holds no prompts"),
        ("a.txt", b"\n \n\t\n", "a.txt holds no prompts"),
        ("a.jsonl", b"\n", "a.jsonl holds no prompts"),
        ("a.txt", b"good\nb\xff\xfed\n", r"a.txt:2: not UTF-8"),
        ("a.jsonl", b'{"prompt": "x"}\n{"prompt"\n', "a.jsonl:2: "),
        ("a.jsonl", b'{"prompt": "x"}\n\n["x"]\n', "a.jsonl:3: "),
        ("a.jsonl", b'{"text": "x"}\n', "a.jsonl:1: .*prompt"),
        ("a.jsonl", b'{"prompt": 3}\n', "a.jsonl:1: .*prompt"),
        ("a.jsonl", b'{"prompt": ["x"]}\n', "a.jsonl:1: .*prompt"),
        ("a.jsonl", b'{"prompt": "  "}\n', "a.jsonl:1: the prompt is empty"),
        ("a.jsonl", b'{"prompt": "\\ud800"}\n', "a.jsonl:1: "),
        ("a.jsonl", b'{"prompt": "b\xff"}\n', "a.jsonl:1: "),
        ("a.csv", b"x\n", r"a.csv: prompts come from .txt or .jsonl"),
    ],
)
def test_faults_name_the_file_and_the_line(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    with pytest.raises(BenchmarkError, match=said) as failed:
        read_texts(write(tmp_path, name, content))
    assert "\n" not in str(failed.value)


def test_what_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"nothing\.txt cannot be read: No such file"):
        read_texts(tmp_path / "nothing.txt")
    (tmp_path / "folder.txt").mkdir()
    with pytest.raises(BenchmarkError, match=r"folder\.txt cannot be read: Is a directory"):
        read_texts(tmp_path / "folder.txt")


def test_the_home_folder_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "a.txt", b"one")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read_texts(Path("~/a.txt")) == ("one",)


def test_a_file_is_read_once_and_goes_round(tmp_path: Path) -> None:
    path = write(tmp_path, "a.txt", b"one\ntwo\nthree\n")
    files = TextFiles()
    texts = [files.text(path, 0)]
    path.unlink()
    texts += [files.text(path, index) for index in range(1, 5)]
    assert texts == ["one", "two", "three", "one", "two"]
