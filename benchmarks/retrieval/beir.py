"""Judged collections in BEIR's layout: corpus.jsonl, queries.jsonl, qrels/SPLIT.tsv.

Layout: https://github.com/beir-cellar/beir/wiki/Load-your-custom-dataset
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

SPLITS = ("test", "dev", "train")


class BrokenCollection(Exception):
    """A folder that is not a judged collection; the message names the file and the line."""


@dataclass(frozen=True, slots=True)
class Document:
    """One text of the corpus."""

    id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Collection:
    """Texts, questions, and which text answers which question how well."""

    name: str
    split: str
    documents: tuple[Document, ...]
    queries: Mapping[str, str]  # query id -> question; only judged ones
    qrels: Mapping[str, Mapping[str, int]]  # query id -> document id -> grade, 0 is not relevant


def read(folder: Path, split: str | None = None) -> Collection:
    """Read a collection; without `split` the first of test, dev, train that is there.

    Raises:
        BrokenCollection: a file is missing or a line is broken.
    """
    chosen = split or next((name for name in SPLITS if (folder / "qrels" / f"{name}.tsv").exists()), None)
    if chosen is None:
        raise BrokenCollection(f"{folder}: no qrels/test.tsv, dev.tsv or train.tsv")
    qrels = _read_qrels(folder / "qrels" / f"{chosen}.tsv")
    documents = tuple(
        Document(str(line["_id"]), str(line.get("title", "")), str(line["text"]))
        for line in _lines(folder / "corpus.jsonl", ("_id", "text"))
    )
    queries = {
        str(line["_id"]): str(line["text"])
        for line in _lines(folder / "queries.jsonl", ("_id", "text"))
        if str(line["_id"]) in qrels
    }
    missing = qrels.keys() - queries.keys()
    if missing:
        raise BrokenCollection(f"{folder}: judged queries without text: {', '.join(sorted(missing)[:3])}")
    return Collection(folder.resolve().name, chosen, documents, queries, qrels)


def _lines(path: Path, keys: tuple[str, ...]) -> Iterator[dict[str, object]]:
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    document = json.loads(line)
                    if any(key not in document for key in keys):
                        raise BrokenCollection(f"{path}:{number}: needs {' and '.join(keys)}")
                except ValueError as exc:
                    raise BrokenCollection(f"{path}:{number}: {exc}") from exc
                yield document
    except OSError as exc:
        raise BrokenCollection(f"{path}: {exc.strerror}") from exc


def _read_qrels(path: Path) -> dict[str, dict[str, int]]:
    qrels: dict[str, dict[str, int]] = defaultdict(dict)
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            rows = csv.reader(lines, delimiter="\t")
            next(rows, None)  # header
            for number, row in enumerate(rows, start=2):
                try:
                    query, document, grade = row
                    qrels[query][document] = int(grade)
                except ValueError as exc:
                    raise BrokenCollection(f"{path}:{number}: needs query, document and grade") from exc
    except OSError as exc:
        raise BrokenCollection(f"{path}: {exc.strerror}") from exc
    # A query without a relevant document has no ideal ranking, so nothing can be said of it.
    return {query: dict(grades) for query, grades in qrels.items() if any(grades.values())}
