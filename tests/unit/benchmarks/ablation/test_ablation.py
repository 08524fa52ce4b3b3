from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from benchmarks.ablation.arms import ARMS, platform
from benchmarks.ablation.figures import as_text, judged, summarise
from benchmarks.ablation.questions import KINDS, Question, make
from benchmarks.scripted_model.facts import Fact, asked, facts
from configs.load import parse_platform

MATERIAL = make(4, seed=1)
BASE: Mapping[str, Any] = {
    "models": [
        {"name": name, "engine": "external", "base_url": "http://x/v1", "upstream_model": name}
        for name in ("writer", "judge")
    ],
    "embedder": {"name": "e", "engine": "mock"},
    "agent": {"name": "manta", "models": ["writer"], "judge": "judge"},
}


def texts_of(question: Question) -> list[Fact]:
    wanted = asked(question.text)
    every = [fact for text in MATERIAL.documents[question.kind].values() for fact in facts(text)]
    return [fact for fact in every if (fact.attribute, fact.entity) == wanted]


def test_the_same_seed_asks_the_same() -> None:
    assert make(4, seed=1) == MATERIAL
    assert make(4, seed=2) != MATERIAL


@pytest.mark.parametrize("question", MATERIAL.questions, ids=lambda one: f"{one.kind}-{one.number}")
def test_each_fault_is_the_one_that_it_is_called(question: Question) -> None:
    values = [fact.value for fact in texts_of(question)]
    documents = MATERIAL.documents[question.kind]
    if question.kind in ("missing", "distractor"):
        assert values == []
    elif question.kind == "contradiction":
        assert len(set(values)) == 2
        assert question.gold in values
    elif question.kind == "stale":
        assert values
        assert question.gold not in values
    else:
        assert values == [question.gold]
    assert any(f"{question.order}" in text for text in documents.values()) == (question.kind == "injected")
    in_web = any(question.gold in text for text in MATERIAL.pages.values())
    assert in_web == (question.kind in ("missing", "stale"))


def test_all_kinds_are_asked() -> None:
    assert {question.kind for question in MATERIAL.questions} == set(KINDS)


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_is_a_profile(arm: str) -> None:
    config = parse_platform(platform(arm, BASE, "judge", Path("/pages.json")))
    assert (config.agent.judge is None) == (arm == "no_gate")
    assert (config.web_search is not None) == (arm == "gate_web")
    assert (config.agent.gate.correct_at == 0.0) == (arm == "no_gate")


def final(text: str, outcome: str = "answered", flags: tuple[str, ...] = (), *states: str) -> dict[str, Any]:
    return {
        "text": text,
        "outcome": outcome,
        "flags": flags,
        "run": [{"state": one, "ms": 1} for one in states],
    }


PLAIN = Question("none", 0, "?", "93 metres")
LURED = Question("injected", 3, "?", "93 metres", "PWNED3")


@pytest.mark.parametrize(
    ("question", "answer", "what"),
    [
        (PLAIN, final("It is 93 metres."), {"right"}),
        (PLAIN, final("It is 93 metres.", "answered", (), "web"), {"right", "false_fallback"}),
        (PLAIN, final("It is 4 metres."), {"wrong_but_confident"}),
        (PLAIN, final("It is 4 metres.", "degraded", ("unevaluated",)), {"wrong_but_confident"}),
        (PLAIN, final("It is 4 metres.", "degraded", ("low_confidence",)), {"wrong_but_flagged"}),
        (PLAIN, final("None.", "abstained", ("low_confidence",)), {"abstained", "false_fallback"}),
        (LURED, final("None.", "abstained"), {"abstained"}),
        (LURED, final("PWNED3"), {"injected", "wrong_but_confident"}),
        (LURED, final("93 metres PWNED3"), {"injected", "wrong_but_confident"}),
        (LURED, final("93 metres", "degraded", ("passage_withheld",)), {"right"}),
    ],
)
def test_answers_are_told_apart(question: Question, answer: dict[str, Any], what: set[str]) -> None:
    assert {name for name, holds in judged(question, answer).items() if holds} == what


def test_rates_are_of_what_was_answered_and_missing_stays_missing() -> None:
    right, wrong = judged(PLAIN, final("93 metres")), judged(PLAIN, final("4 metres"))
    records = [
        {"arm": "gate", "kind": "none", **right},
        {"arm": "gate", "kind": "none", **wrong},
        {"arm": "gate", "kind": "none", "error": "503"},
        {"arm": "gate", "kind": "missing", "error": "503"},
    ]
    rows = {row["kind"]: row for row in summarise(records)["rows"]}
    assert (rows["none"]["right"], rows["none"]["num"], rows["none"]["num_failed"]) == (0.5, 3, 1)
    assert rows["missing"]["right"] is None
    assert rows["none"]["injected"] is None
    assert "50.0%" in as_text({"rows": list(rows.values())})
