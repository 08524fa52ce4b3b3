"""Runs by turns, and what one side of them takes more than the other."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.frontdoor import addition, bars
from benchmarks.frontdoor.pairs import by_turns, compared
from benchmarks.frontdoor.text import as_text


def run(side: str, p50: float, pair: int = 0, **fields: Any) -> dict[str, Any]:
    return {
        "step": "miss",
        "store": "embedded",
        "num_callers": 32,
        "kind": "stream",
        "repetition": 0,
        "pair": pair,
        "side": side,
        "answer_ms": {"p50": p50, "p99": p50 + 10},
        "whole_ms": {"p50": p50 + 300, "p99": p50 + 400},
        "requests_per_s": 60.0,
        "num_failed": 0,
        "cpu_ms": {"replica Ingress": 1.0, "haproxy": 0.5},
        "reasons": (),
    } | fields


def test_neither_side_is_always_the_first() -> None:
    assert list(by_turns("a", "b", 3)) == [(0, "a"), (0, "b"), (1, "b"), (1, "a"), (2, "a"), (2, "b")]


def test_a_drift_of_the_machine_is_in_both_sides_of_a_difference() -> None:
    # Twice as slow in the second pair: medians of each side alone would say 27.5.
    records = [run("plain", 100.0), run("door", 100.5), run("plain", 155.0, 1), run("door", 155.5, 1)]
    (row,) = addition.summarise(records)
    assert row["added_p50_ms"] == 0.5
    assert row["added_each_ms"] == [0.5, 0.5]
    assert row["num_pairs"] == 2


def test_repetitions_are_not_mixed_up() -> None:
    records = [run("plain", 100.0), run("door", 101.0, repetition=1), run("plain", 90.0, repetition=1)]
    (row,) = addition.summarise(records)
    assert row["added_each_ms"] == [11.0]


def test_a_pair_that_was_interrupted_is_left_out() -> None:
    assert addition.summarise([run("plain", 100.0)]) == []


def test_each_load_and_each_setting_is_a_row() -> None:
    records = [
        run(side, 100.0, **fields)
        for fields in ({}, {"kind": "json"}, {"num_callers": 1}, {"step": "key"}, {"store": "redis"})
        for side in ("plain", "door")
    ]
    assert len(addition.summarise(records)) == 5


def test_cpu_and_requests_are_compared_too() -> None:
    records = [run("plain", 100.0), run("door", 100.0, cpu_ms={"replica Ingress": 2.0}, requests_per_s=30.0)]
    (row,) = compared(records, ("kind",), "plain")
    assert (row["without_cpu_ms"], row["with_cpu_ms"]) == (1.5, 2.0)
    assert row["ratio"] == 0.5


def test_a_run_too_short_to_tell_the_cpu_has_none() -> None:
    (row,) = compared([run("plain", 1.0, cpu_ms={}), run("door", 1.0, cpu_ms={})], ("kind",), "plain")
    assert row["without_cpu_ms"] is None


@pytest.mark.parametrize(
    ("store", "added_ms", "is_met"),
    [("embedded", 1.0, True), ("embedded", 1.1, False), ("redis", 2.0, True), ("redis", 2.1, False)],
)
def test_the_bar_is_by_store(store: str, added_ms: float, *, is_met: bool) -> None:
    records = [run("plain", 100.0, store=store), run("door", 100.0 + added_ms, store=store)]
    (verdict,) = bars.added(addition.summarise(records))
    assert verdict["is_met"] is is_met
    assert (verdict["num_met"], verdict["num"]) == (int(is_met), 1)


def test_the_bar_is_for_the_whole_door_at_32_callers() -> None:
    for fields in ({"step": "key"}, {"num_callers": 1}, {"step": "semantic"}):
        records = [run("plain", 1.0, **fields), run("door", 99.0, **fields)]
        assert bars.added(addition.summarise(records)) == []


def test_the_tables_show_what_was_measured() -> None:
    rows = addition.summarise([run("plain", 100.0), run("door", 101.5, reasons=("busy",))])
    text = as_text({"addition": rows, "verdicts": bars.added(rows), "did_not_start": ["redis, key: why"]})
    assert "+1.50 (+1.50..+1.50)" in text
    assert "NOT met" in text
    assert "1/2" in text
    assert "did not start: redis, key: why" in text
    assert "LiteLLM" not in text
