"""The made-up corpus, what is exactly nearest in it, and what the runs' figures say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.knowledge.corpus import NUM_PARTS, TOP, make, nearest, recall
from benchmarks.knowledge.figures import figures_of, summarise


def test_the_corpus_follows_from_its_seed() -> None:
    one, same, other = make(300, 1, 5), make(300, 1, 5), make(300, 2, 5)
    assert one.texts == same.texts
    assert np.array_equal(one.vectors, same.vectors)
    assert one.texts != other.texts
    assert np.allclose(np.linalg.norm(one.vectors, axis=1), 1.0, atol=1e-5)
    assert np.allclose(np.linalg.norm(one.asked, axis=1), 1.0, atol=1e-5)


def test_what_is_nearest() -> None:
    corpus = make(500, 0, 4)
    exact = nearest(corpus)
    assert all(len(one) == TOP for one in exact)
    cosines = corpus.vectors @ corpus.asked[0]
    assert exact[0][0] == int(np.argmax(cosines))
    part = nearest(corpus, part="3")
    assert all(index % NUM_PARTS == 3 for one in part for index in one)
    assert recall(exact, exact) == 1.0
    assert recall([one[:5] for one in exact], exact) == 0.5


def test_percentiles() -> None:
    found = figures_of([float(n) for n in range(100, 0, -1)], 2.0)
    assert found == {"num": 100, "p50_ms": 51.0, "p95_ms": 96.0, "p99_ms": 100.0, "per_s": 50.0}


def record(
    side: str, case: str, num_callers: int, repetition: int, p50_ms: float, per_s: float
) -> dict[str, Any]:
    return {
        "side": side, "case": case, "num_callers": num_callers, "repetition": repetition, "p50_ms": p50_ms,
        "p95_ms": p50_ms, "p99_ms": p50_ms, "per_s": per_s,
    }  # fmt: skip


def test_bars_are_ratios_within_a_repetition() -> None:
    records = []
    for repetition, slow in enumerate((1.0, 3.0, 1.0)):  # the machine was slow once, for both
        records += [
            record("manta-opensearch", "knn", 1, repetition, 4.4 * slow, 10),
            record("plain-opensearch", "knn", 1, repetition, 4.0 * slow, 10),
            record("manta-opensearch", "knn", 32, repetition, 9, 80 / slow),
            record("plain-opensearch", "knn", 32, repetition, 9, 100 / slow),
        ]
    summary = summarise(records, {"manta-opensearch": {"recall": {"filtered": 0.995}}})
    assert summary["ratios"]["manta-opensearch knn 1"]["p50_ms"] == pytest.approx(1.1)
    assert {one["bar"]: one["is_met"] for one in summary["verdicts"]} == {
        "manta-opensearch knn 1: p50": True,
        "manta-opensearch knn 32: queries/s": False,
        "manta-opensearch: filtered recall@10": True,
    }


def test_a_side_without_its_peer_has_no_verdict() -> None:
    summary = summarise([record("manta-lancedb", "knn", 1, 0, 4.0, 10)], {})
    assert summary["verdicts"] == []
    assert summary["medians"]["manta-lancedb knn 1"]["p50_ms"] == 4.0
