"""Ratios and bars of the ingestion's benchmark."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.ingestion.figures import EMBEDDER, ONE_BY_ONE, pipeline, steady_rate, summarise


def records(**rates: tuple[float, ...]) -> list[dict[str, Any]]:
    names = {"embedder": EMBEDDER, "single": ONE_BY_ONE, "one": pipeline(1), "four": pipeline(4)}
    return [
        {"side": names[key], "repetition": repetition, "documents_per_s": rate}
        for key, each in rates.items()
        for repetition, rate in enumerate(each)
    ]


def test_an_embedder_that_computes_is_the_measure() -> None:
    measured = records(embedder=(100, 50), single=(10, 5), one=(95, 46), four=(99, 50))
    summary = summarise(measured, [1, 4], is_paced=False)
    assert summary["ratios"][f"{pipeline(1)} / {EMBEDDER}"] == 0.935
    assert summary["ratios"][f"{pipeline(1)} / {ONE_BY_ONE}"] == 9.35
    assert [one["is_met"] for one in summary["verdicts"]] == [True]


def test_a_paced_one_shows_how_workers_scale() -> None:
    summary = summarise(records(one=(25, 25), four=(80, 90)), [1, 4], is_paced=True)
    assert summary["ratios"]["scaling"] == 0.85
    assert [(one["value"], one["is_met"]) for one in summary["verdicts"]] == [(0.85, True)]


def test_what_was_not_measured_is_no_number() -> None:
    summary = summarise(records(one=(25,)), [1], is_paced=True)
    assert set(summary["ratios"].values()) == {None, 1.0}
    assert summary["verdicts"] == []


def test_the_rate_is_that_of_workers_that_all_work() -> None:
    told = [(10.0, 100), (11.0, 200), (12.0, 600), (14.0, 800), (14.1, 1000)]
    assert steady_rate(told) == pytest.approx(600 / 3.0)
    assert steady_rate([(3.0, 1000)]) is None  # all of it in one part
    assert steady_rate([]) is None
