from __future__ import annotations

import math

import pytest

from configs.schema import GateConfig
from serve_app.evaluation.base import Assessment, Metric, Score
from serve_app.evaluation.gate import AnswerVerdict, decide, metrics_for

GATE = GateConfig()
F, R, C = Metric.FAITHFULNESS, Metric.ANSWER_RELEVANCY, Metric.CONTEXT_RELEVANCE


def verdict(**values: float | None) -> AnswerVerdict:
    asked = tuple(Metric(name) for name in values)
    assessment = Assessment("j", {Metric(name): Score(value) for name, value in values.items()})
    return decide(assessment, asked, GATE).verdict


@pytest.mark.parametrize(
    ("faithfulness", "relevancy", "expected"),
    [
        (0.8, 0.7, "pass"),
        (0.79, 1.0, "unfaithful"),
        (0.79, None, "unfaithful"),
        (1.0, 0.69, "off_topic"),
        (None, 0.1, "off_topic"),
        (1.0, None, "unknown"),
        (None, 1.0, "unknown"),
        (math.nan, 1.0, "unknown"),
        (1.0, 1.5, "unknown"),
        (-1.0, 1.0, "unknown"),
    ],
)
def test_verdicts(faithfulness: float | None, relevancy: float | None, expected: str) -> None:
    assert verdict(faithfulness=faithfulness, answer_relevancy=relevancy) == expected


def test_passages_that_do_not_fit_are_off_the_topic() -> None:
    assert verdict(faithfulness=1.0, answer_relevancy=1.0, context_relevance=0.4) == "off_topic"
    assert verdict(faithfulness=1.0, answer_relevancy=1.0, context_relevance=0.5) == "pass"


def test_a_score_that_was_asked_for_and_not_given_is_no_pass() -> None:
    assert decide(Assessment("j", {F: Score(1.0)}), (F, R), GATE).verdict == "unknown"
    assert decide(Assessment("j", {}), (F, R), GATE).verdict == "unknown"
    assert decide(None, (F, R), GATE).verdict == "unknown"


@pytest.mark.parametrize(("value", "is_hopeless"), [(0.49, True), (0.5, False), (0.79, False)])
def test_what_is_hopeless(value: float, is_hopeless: bool) -> None:
    decision = decide(Assessment("j", {F: Score(value, unsupported=("x",))}), (F,), GATE)
    assert (decision.is_hopeless, decision.unsupported, decision.faithfulness) == (is_hopeless, ("x",), value)


def test_the_passages_are_asked_about_only_in_doubt() -> None:
    assert metrics_for(is_ambiguous=False) == (F, R)
    assert metrics_for(is_ambiguous=True) == (F, R, C)
