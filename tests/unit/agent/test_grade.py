from __future__ import annotations

import math
from dataclasses import replace

import pytest

from configs.schema import GateConfig
from serve_app.agent.grade import Verdict, grade
from serve_app.evaluation.calibration import JUDGEMENT, probability
from serve_app.evaluation.features import measure
from serve_app.messages import Passage

GATE = GateConfig()
QUESTION = "Which text is it?"


def passage(cosine: float | None, bm25: float | None = None, score: float = 0.0) -> Passage:
    return Passage("p", "d", "s", "a.md", "A", (), "text", 0, score=score, cosine=cosine, bm25=bm25)


def test_features() -> None:
    features = measure(QUESTION, [passage(0.4, 1.0), passage(0.8), passage(0.6, 2.0), passage(None, 3.0)])
    assert features.top_cosine == 0.8
    assert features.margin == pytest.approx(0.3)
    assert features.agreement == 0.5
    assert features.coverage == 1.0


def test_coverage_is_that_of_the_best_passage() -> None:
    assert measure("text or book", [passage(0.4)]).coverage == 0.5
    assert measure("who is it", [passage(0.4)]).coverage is None


def test_a_single_passage_has_no_margin() -> None:
    assert measure(QUESTION, [passage(0.4)]).margin is None


def test_without_a_cosine_there_is_no_probability() -> None:
    assert probability(measure(QUESTION, [passage(None, 9.0)]), JUDGEMENT) is None
    assert grade(QUESTION, [passage(None, 9.0)], GATE).verdict is Verdict.AMBIGUOUS


def test_a_cosine_that_is_no_number_is_no_evidence() -> None:
    result = grade(QUESTION, [passage(math.nan)], GATE)
    assert (result.verdict, result.probability) == (Verdict.AMBIGUOUS, None)


def test_nothing_found_is_incorrect() -> None:
    assert grade(QUESTION, [], GATE).verdict is Verdict.INCORRECT


@pytest.mark.parametrize(
    ("cosine", "verdict"), [(0.75, Verdict.CORRECT), (0.3, Verdict.AMBIGUOUS), (0.0, Verdict.INCORRECT)]
)
def test_the_verdict_follows_the_thresholds(cosine: float, verdict: Verdict) -> None:
    assert grade(QUESTION, [passage(cosine, 1.0), passage(cosine - 0.05)], GATE).verdict is verdict


def test_probability_grows_with_each_feature() -> None:
    base = measure("Which text or book?", [passage(0.4, 1.0), passage(0.3)])
    chance = probability(base, JUDGEMENT)
    assert chance is not None
    for better in (
        replace(base, top_cosine=0.5),
        replace(base, coverage=1.0),
        replace(base, agreement=1.0),
    ):
        value = probability(better, JUDGEMENT)
        assert value is not None
        assert value > chance


def test_the_rrf_score_changes_nothing() -> None:
    low, high = (grade(QUESTION, [passage(0.4, 1.0, score)], GATE) for score in (0.01, 0.99))
    assert low == high


def test_the_clients_data_is_json() -> None:
    assert grade(QUESTION, [], GATE).data() == {
        "verdict": "incorrect",
        "features": {
            "num_passages": 0,
            "top_cosine": None,
            "margin": None,
            "agreement": None,
            "coverage": 0.0,
            "mean_cosine": None,
            "mean_bm25": None,
            "top_rerank": None,
            "probability": 0.0,
        },
        "calibration": None,
    }
