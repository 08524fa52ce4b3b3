"""The bars and the tables of an overload experiment."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.overload.figures import Figures
from benchmarks.overload.judge import as_text, summarise
from benchmarks.overload.measure import Measured
from benchmarks.overload.plan import Part, PlannedRun

TOLD: dict[str, Any] = {
    "num": 3,
    "statuses": {"429": 3},
    "num_without": 1,
    "seconds": {"p50": 2.0, "max": 3.0},
}


def figures(goodput_rps: float, *problems: str) -> Figures:
    return Figures(
        num_requests=100,
        offered_rps=10.0,
        completed_rps=goodput_rps + 1,
        goodput_rps=goodput_rps,
        refused_share=0.5,
        failed_share=0.0,
        statuses={"200": 50, "429": 50},
        ttft_ms={"p50": 100.0, "p95": 300.0},
        e2e_ms={"p95": 2000.0},
        refused_after_ms={},
        problems=problems,
    )


def run(kind: str, multiple: float, repetition: int = 0, **parts: Figures) -> Measured:
    planned = PlannedRun(1, kind, multiple, repetition, tuple(Part(name, 0.5) for name in parts))
    return Measured(planned, parts, TOLD)


def plain(multiple: float, goodput_rps: float, repetition: int = 0) -> Measured:
    return run("plain", multiple, repetition, all=figures(goodput_rps))


@pytest.mark.parametrize(("at_three", "is_met"), [(9.1, True), (8.9, False)])
def test_the_bar_compares_the_highest_multiple_with_the_best(at_three: float, *, is_met: bool) -> None:
    summary = summarise([plain(0.5, 5.0), plain(1.0, 10.0), plain(3.0, at_three)])
    assert summary["best_goodput_rps"] == 10.0
    assert summary["bar"]["ratio"] == pytest.approx(at_three / 10)
    assert summary["bar"]["is_met"] is is_met
    assert summary["bar_with_priorities"]["is_met"] is None


def test_repetitions_are_judged_by_their_median() -> None:
    runs = [plain(1.0, 10.0, n) for n in range(3)] + [
        plain(3.0, rps, n) for n, rps in enumerate((9.5, 1.0, 9.4))
    ]
    summary = summarise(runs)
    assert summary["bar"]["is_met"]
    assert summary["rows"][1]["goodputs_rps"] == [9.5, 1.0, 9.4]
    assert summary["num_refusals_without_retry_after"] == 6


def test_priorities_are_judged_by_the_interactive_ones_beside_marked_batch() -> None:
    runs = [
        plain(1.0, 10.0),
        run("mixed", 1.2, interactive=figures(7.0), batch=figures(1.0)),
        run("mixed", 3.0, interactive=figures(8.5), batch=figures(0.5)),
        run("unmarked", 3.0, interactive=figures(2.0), batch=figures(1.0)),
    ]
    assert summarise(runs)["bar_with_priorities"]["ratio"] == pytest.approx(0.85)
    assert summarise(runs)["bar_with_priorities"]["is_met"] is True


def test_the_text_has_the_verdicts_and_the_doubts() -> None:
    text = as_text(summarise([plain(1.0, 10.0), run("plain", 3.0, all=figures(5.0, "a worker was busy"))]))
    assert "0.500, NOT met" in text
    assert "not measured" in text
    assert "- plain 3x: a worker was busy" in text
    assert "| 3x" in text


def test_without_any_goodput_nothing_is_met() -> None:
    summary = summarise([plain(1.0, 0.0), plain(3.0, 0.0)])
    assert summary["bar"]["is_met"] is None
