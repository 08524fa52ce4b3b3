from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.gate.rates import auc_interval, roc_auc
from benchmarks.gate.run import summarise

VALUES = st.lists(st.integers(0, 5).map(float), min_size=1, max_size=12)


@given(VALUES, VALUES)
def test_the_area_is_that_of_all_pairs(yes: list[float], no: list[float]) -> None:
    pairs = [(a > b) + 0.5 * (a == b) for a in yes for b in no]
    area = roc_auc(yes, no)
    assert area == pytest.approx(sum(pairs) / len(pairs))
    low, high = auc_interval(yes, no)
    assert 0.0 <= low <= area <= high <= 1.0


def record(kind: str, probability: float, *, passes: bool) -> dict[str, Any]:
    features = {"top_cosine": 0.5}
    return {
        "kind": kind,
        "probability": probability,
        "features": features,
        "passes": passes,
        "is_correct": passes,
    }


def test_goals_are_judged_from_the_records() -> None:
    records = [
        record("answerable", 0.9, passes=True),
        record("unanswerable", 0.1, passes=False),
        record("gold", 0.9, passes=True),
        record("random", 0.8, passes=True),
        record("random", 0.1, passes=False),
    ]
    summary = summarise(records)
    assert summary["comparisons"]["answerable_vs_unanswerable"]["roc_auc"] == 1.0
    assert summary["comparisons"]["gold_vs_random"]["roc_auc_of_top_cosine"] == 0.5
    assert [goal["is_met"] for goal in summary["goals"]] == [True, True, False]


def test_a_set_without_unanswerable_questions_has_no_such_figure() -> None:
    summary = summarise([record("gold", 0.9, passes=True), record("random", 0.1, passes=False)])
    assert list(summary["comparisons"]) == ["gold_vs_random"]
