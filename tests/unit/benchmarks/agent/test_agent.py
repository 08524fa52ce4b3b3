from __future__ import annotations

from typing import Any

import pytest

from benchmarks.agent.figures import as_text, summarise
from benchmarks.agent.measure import of_run, together_s
from benchmarks.agent.paths import NUM_FACTS, OTHERS, QUESTIONS, documents, entity, pages
from benchmarks.scripted_model.facts import asked, facts
from serve_app.agent.route import Route, route
from serve_app.agent.states import State


def test_every_question_goes_its_way_and_has_its_document() -> None:
    assert len({entity(at) for at in range(NUM_FACTS)}) == NUM_FACTS
    known = {(fact.attribute, fact.entity) for text in documents().values() for fact in facts(text)}
    assert asked(QUESTIONS["kb"](7)) in known
    assert asked(QUESTIONS["regenerated"](7)) not in known
    assert route(QUESTIONS["fresh"](7), has_web=True).route is Route.FRESH
    assert route(QUESTIONS["kb"](7), has_web=True).route is Route.KB
    assert route(QUESTIONS["chitchat"](7)).route is Route.CHITCHAT
    assert len(pages()) == NUM_FACTS


def test_states_of_others_are_states() -> None:
    assert {str(state) for state in State} >= OTHERS


def test_the_own_time_is_that_of_the_other_states() -> None:
    run = [{"state": "route", "ms": 1.0}, {"state": "generate", "ms": 50.0}, {"state": "final", "ms": 0.5}]
    assert of_run(run) == {"states": ["route", "generate", "final"], "own_ms": 1.5, "run_ms": 51.5}


@pytest.mark.parametrize(
    ("calls", "seconds"),
    [
        ([], 0.0),
        ([(1.0, 2.0)], 1.0),
        ([(3.0, 4.0), (1.0, 2.0)], 2.0),
        ([(1.0, 4.0), (2.0, 3.0), (3.5, 5.0)], 4.0),
    ],
)
def test_calls_at_the_same_time_count_once(calls: list[tuple[float, float]], seconds: float) -> None:
    assert together_s(calls) == pytest.approx(seconds)


def record(own_ms: float, num_callers: int = 1, path: str = "kb", **more: Any) -> dict[str, Any]:
    told = {
        "own_ms": own_ms,
        "first_event_ms": 2.0,
        "e2e_ms": 60.0,
        "num_model_calls": 4,
        "outcome": "answered",
    }
    return {"num_callers": num_callers, "path": path, **told, **more}


def test_bars_are_of_one_caller_on_the_path_of_documents() -> None:
    records = [
        record(8.0, model_ms=40.0),
        record(9.0, model_ms=40.0),
        record(400.0, 32),
        record(900.0, path="fresh"),
    ]
    summary = summarise([*records, {"num_callers": 1, "path": "kb", "status": 503}])
    assert {bar["is_met"] for bar in summary["bars"].values()} == {True}
    row = next(row for row in summary["rows"] if (row["num_callers"], row["path"]) == (1, "kb"))
    assert (row["num"], row["num_failed"]) == (3, 1)
    assert row["all_but_models_ms"]["p50"] == 20.0
    assert row["num_model_calls"] == {"4": 2}
    assert "NOT met" not in as_text(summary)
    late = summarise([record(30.0)])
    assert {bar["is_met"] for bar in late["bars"].values()} == {False}


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    summary = summarise([record(8.0, 32)])
    assert {bar["is_met"] for bar in summary["bars"].values()} == {None}
    assert "not measured" in as_text(summary)
