"""Labelled questions over a corpus: a folder in BEIR's layout, with `unanswerable.json` where there is one.

    corpus.jsonl       {_id, title?, text} a line
    queries.jsonl      {_id, text} a line
    qrels/SPLIT.tsv    query, document, grade; a header line
    unanswerable.json  ids of the queries that no document answers

Layout: https://github.com/beir-cellar/beir/wiki/Load-your-custom-dataset
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from serve_app.errors import ConfigError

_SPLITS = ("test", "dev", "train")


@dataclass(frozen=True, slots=True)
class Text:
    """A document of the corpus."""

    id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Question:
    """A judged question."""

    id: str
    text: str
    best: tuple[str, ...]  # ids of the documents with the question's highest grade; none: unanswerable
    judged: frozenset[str]  # ids of all documents that were found relevant at all


@dataclass(frozen=True, slots=True)
class LabelledSet:
    """A corpus and its questions."""

    name: str
    split: str
    texts: tuple[Text, ...]
    questions: tuple[Question, ...]


def read(folder: Path, split: str | None = None) -> LabelledSet:
    """The folder's content; without `split` the first of test, dev, train that is there.

    Questions that are neither judged relevant to a document nor named unanswerable are left out: nobody
    knows what they are.

    Raises:
        ConfigError: a file is missing or a line is broken; it names the file.
    """
    chosen = split or next((name for name in _SPLITS if (folder / "qrels" / f"{name}.tsv").exists()), None)
    if chosen is None:
        raise ConfigError(f"{folder}: no qrels/test.tsv, dev.tsv or train.tsv")
    grades = _grades(folder / "qrels" / f"{chosen}.tsv")
    unanswerable = _unanswerable(folder / "unanswerable.json")
    texts = tuple(
        Text(str(line["_id"]), str(line.get("title", "")), str(line["text"]))
        for line in _lines(folder / "corpus.jsonl")
    )
    questions = []
    for line in _lines(folder / "queries.jsonl"):
        query_id = str(line["_id"])
        relevant = {document: grade for document, grade in grades[query_id].items() if grade > 0}
        if query_id in unanswerable:
            questions.append(Question(query_id, str(line["text"]), (), frozenset(relevant)))
        elif relevant:
            highest = max(relevant.values())
            best = tuple(sorted(document for document, grade in relevant.items() if grade == highest))
            questions.append(Question(query_id, str(line["text"]), best, frozenset(relevant)))
    if not questions:
        raise ConfigError(f"{folder}: no judged question in the split {chosen}")
    return LabelledSet(folder.resolve().name, chosen, texts, tuple(questions))


def _lines(path: Path) -> Iterator[Mapping[str, object]]:
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    found = json.loads(line)
                    found["_id"], found["text"]
                except (ValueError, KeyError, TypeError) as exc:
                    raise ConfigError(f"{path}:{number}: needs a JSON object with _id and text") from exc
                yield found
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}") from exc


def _grades(path: Path) -> Mapping[str, Mapping[str, int]]:
    """query id -> document id -> grade"""
    grades: dict[str, dict[str, int]] = defaultdict(dict)
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            rows = csv.reader(lines, delimiter="\t")
            next(rows, None)  # header
            for number, row in enumerate(rows, start=2):
                try:
                    query, document, grade = row
                    grades[query][document] = int(grade)
                except ValueError as exc:
                    raise ConfigError(f"{path}:{number}: needs query, document and grade") from exc
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}") from exc
    return grades


def _unanswerable(path: Path) -> frozenset[str]:
    if not path.exists():
        return frozenset()
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise ConfigError(f"{path}: {exc}") from exc
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise ConfigError(f"{path}: needs a list of query ids")
    return frozenset(found)
