from __future__ import annotations

import json
from pathlib import Path

import pytest

from serve_app.errors import ConfigError
from serve_app.evaluation.dataset import Question, Text, read


def folder(path: Path, **files: str) -> Path:
    texts = {
        "corpus.jsonl": '{"_id": "d1", "title": "T", "text": "one"}\n\n{"_id": "d2", "text": "two"}\n',
        "queries.jsonl": "".join(
            json.dumps({"_id": f"q{n}", "text": f"question {n}"}) + "\n" for n in range(1, 5)
        ),
        "qrels/dev.tsv": "query-id\tcorpus-id\tscore\nq1\td1\t3\nq1\td2\t1\nq2\td2\t0\nq3\td1\t1\n",
        "unanswerable.json": '["q3"]',
        **files,
    }
    for name, text in texts.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    return path


def test_questions_know_their_best_documents(tmp_path: Path) -> None:
    found = read(folder(tmp_path))
    assert (found.name, found.split) == (tmp_path.name, "dev")
    assert found.texts == (Text("d1", "T", "one"), Text("d2", "", "two"))
    assert found.questions == (
        Question("q1", "question 1", ("d1",), frozenset({"d1", "d2"})),
        Question("q3", "question 3", (), frozenset({"d1"})),
    )


def test_a_set_without_unanswerable_questions_is_fine(tmp_path: Path) -> None:
    path = folder(tmp_path)
    (path / "unanswerable.json").unlink()
    assert [question.best for question in read(path).questions] == [("d1",), ("d1",)]


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ({"corpus.jsonl": '{"_id": "d1"}\n'}, "corpus.jsonl:1"),
        ({"corpus.jsonl": "[]\n"}, "corpus.jsonl:1"),
        ({"qrels/dev.tsv": "h\nq1\td1\n"}, "dev.tsv:2"),
        ({"unanswerable.json": "{}"}, "list of query ids"),
        ({"qrels/dev.tsv": "h\n", "unanswerable.json": "[]"}, "no judged question"),
    ],
)
def test_a_fault_is_named(tmp_path: Path, files: dict[str, str], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        read(folder(tmp_path, **files))


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="qrels"):
        read(tmp_path)
    with pytest.raises(ConfigError, match=r"test\.tsv"):
        read(folder(tmp_path), "test")
