from __future__ import annotations

import math
from pathlib import Path

import pytest

from benchmarks.retrieval.beir import BrokenCollection, read
from benchmarks.retrieval.metrics import ndcg, recall, reciprocal_rank


def test_ndcg_is_one_for_the_ideal_ranking_only() -> None:
    grades = {"a": 3, "b": 1}
    assert ndcg(["a", "b"], grades) == 1.0
    # 1/log2(2) + 3/log2(3) over 3/log2(2) + 1/log2(3), worked out by hand
    assert ndcg(["b", "a"], grades) == pytest.approx((1 + 3 / math.log2(3)) / (3 + 1 / math.log2(3)))


def test_ndcg_looks_at_the_first_k_alone() -> None:
    assert ndcg(["x"] * 10 + ["a"], {"a": 1}) == 0.0


def test_recall_counts_relevant_documents_only() -> None:
    assert recall(["a", "x"], {"a": 1, "b": 2, "c": 0}) == 0.5


def test_reciprocal_rank_is_of_the_first_relevant_document() -> None:
    assert reciprocal_rank(["x", "c", "a"], {"a": 1, "c": 0}) == pytest.approx(1 / 3)
    assert reciprocal_rank(["x"], {"a": 1}) == 0.0


def write(folder: Path, corpus: str, queries: str, qrels: str) -> Path:
    (folder / "qrels").mkdir()
    (folder / "corpus.jsonl").write_text(corpus)
    (folder / "queries.jsonl").write_text(queries)
    (folder / "qrels" / "test.tsv").write_text(qrels)
    return folder


def test_a_collection_keeps_judged_queries_only(tmp_path: Path) -> None:
    folder = write(
        tmp_path,
        '{"_id": "d1", "title": "T", "text": "x"}\n',
        '{"_id": "q1", "text": "why"}\n{"_id": "q2", "text": "who"}\n{"_id": "q3", "text": "no"}\n',
        "query-id\tcorpus-id\tscore\nq1\td1\t1\nq3\td1\t0\n",
    )
    collection = read(folder)
    assert dict(collection.queries) == {"q1": "why"}
    assert collection.qrels == {"q1": {"d1": 1}}


@pytest.mark.parametrize(
    ("corpus", "queries", "qrels", "fault"),
    [
        ("{", '{"_id": "q", "text": "t"}', "h\nq\td\t1\n", "corpus.jsonl:1"),
        ('{"_id": "d"}', '{"_id": "q", "text": "t"}', "h\nq\td\t1\n", "corpus.jsonl:1: needs _id and text"),
        ('{"_id": "d", "text": "t"}', '{"_id": "q", "text": "t"}', "h\nq\td\n", "test.tsv:2"),
        (
            '{"_id": "d", "text": "t"}',
            '{"_id": "p", "text": "t"}',
            "h\nq\td\t1\n",
            "judged queries without text: q",
        ),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, corpus: str, queries: str, qrels: str, fault: str) -> None:
    with pytest.raises(BrokenCollection) as caught:
        read(write(tmp_path, corpus, queries, qrels))
    assert fault in str(caught.value)


def test_a_folder_without_judgements_is_named(tmp_path: Path) -> None:
    with pytest.raises(BrokenCollection, match=r"no qrels/test\.tsv"):
        read(tmp_path)
