"""From records of runs to figures, ratios, verdicts and tables."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.overhead.bars import BARS, VLLM_BARS, Bar, summarise
from benchmarks.overhead.text import as_text


def record(
    way: str, repetition: int, rate: float, *, beside: str = "channel", callers: int = 32, **fields: Any
) -> dict[str, Any]:
    return {
        "way": way,
        "beside": beside,
        "num_callers": callers,
        "repetition": repetition,
        "requests_per_s": rate,
        "output_tokens_per_s": rate * 32,
        "ttft_ms": {"p50": 21.0, "p99": 25.0},
        "itl_ms": {"p50": 5.0, "p99": 8.0},
        "pause_ms": {"p50": 5.0, "p99": 9.0},
        "tokens_per_arrival": 1.0,
        "num_failed": 0,
        "cpu_ms": {"replica Ingress": 1.0, "haproxy": 0.5},
        "client": {"cpu_max": 0.4, "lag_p99_ms": 0.1, "lag_max_ms": 1.0},
        "reasons": (),
    } | fields


def test_each_run_is_divided_by_the_bare_run_beside_it() -> None:
    # The machine is twice as fast in the second repetition; medians of each alone would say 0.75.
    summary = summarise(
        [
            record("bare", 0, 100.0),
            record("channel", 0, 90.0),
            record("bare", 1, 200.0),
            record("channel", 1, 180.0),
            record("bare", 0, 50.0, beside="plain"),
            record("plain", 0, 25.0, beside="plain"),
        ]
    )
    assert summary["figures"]["channel 32"]["each"]["ratio"] == [0.9, 0.9]
    assert summary["figures"]["plain 32"]["ratio"] == 0.5
    assert summary["figures"]["bare 32"]["num_runs"] == 3


def test_the_first_token_is_compared_at_the_median_and_at_the_99th_percentile() -> None:
    later = {"p50": 24.5, "p99": 45.0}
    summary = summarise([record("bare", 0, 100.0), record("channel", 0, 100.0, ttft_ms=later)])
    figures = summary["figures"]["channel 32"]
    assert (figures["ttft_over_ms"], figures["ttft_p99_over_ms"]) == (3.5, 20.0)


def test_the_verdict_is_the_medians_and_says_how_many_repetitions_agree() -> None:
    rates = (98.0, 98.0, 90.0)
    records = [record("bare", n, 100.0) for n in range(3)]
    records += [record("channel", n, rate) for n, rate in enumerate(rates)]
    verdict = next(one for one in summarise(records)["verdicts"]["channel"] if one["bar"].startswith("ratio"))
    assert verdict["is_met"]
    assert (verdict["value"], verdict["num_met"], verdict["num"]) == (0.98, 2, 3)


def test_a_bar_that_was_not_measured_has_no_verdict() -> None:
    missing = {"p50": 5.0, "p99": None}
    alone = [record("channel", 0, 100.0, itl_ms=missing)]
    assert summarise(alone)["verdicts"]["channel"] == []
    both = [record("bare", 0, 100.0), *alone]
    bars = [verdict["bar"] for verdict in summarise(both)["verdicts"]["channel"]]
    assert bars == ["ratio at least 0.97 at 32", "ttft_over_ms at most 8 ms at 32"]


def test_ways_that_the_bars_are_not_for_are_only_told() -> None:
    records = [record("bare", 0, 100.0), record("channel", 0, 90.0), record("channel-2x2", 0, 90.0)]
    summary = summarise(records, judged=["channel"])
    assert summary["verdicts"].keys() == {"channel"}
    assert "channel-2x2 32" in summary["figures"]


@pytest.mark.parametrize(
    ("bar", "good", "bad"),
    [(Bar(1, "x", "at least", 0.97, ""), 0.97, 0.9699), (Bar(1, "x", "at most", 12.0, " ms"), 12.0, 12.01)],
)
def test_a_limit_itself_is_good_enough(bar: Bar, good: float, bad: float) -> None:
    assert bar.is_met(good)
    assert not bar.is_met(bad)


def test_the_tables_show_ratios_verdicts_and_where_the_time_goes() -> None:
    records = [record("bare", 0, 100.0), record("channel", 0, 90.0, reasons=("busy",))]
    text = as_text(summarise(records))
    assert "0.900 (0.900..0.900)" in text
    assert "NOT met" in text
    assert "0/1" in text
    assert "channel, 32 callers: replica Ingress 1.00, haproxy 0.50" in text


def test_tokens_have_a_ratio_of_their_own() -> None:
    shorter = record("channel", 0, 100.0, output_tokens_per_s=2400.0)
    summary = summarise([record("bare", 0, 100.0), shorter], bars=VLLM_BARS)
    figures = summary["figures"]["channel 32"]
    assert (figures["ratio"], figures["tokens_ratio"]) == (1.0, 0.75)
    (verdict,) = summary["verdicts"]["channel"]
    assert (verdict["bar"], verdict["is_met"]) == ("tokens_ratio at least 0.95 at 32", False)


def test_every_bar_is_of_a_figure_that_is_made() -> None:
    summary = summarise([record("bare", 0, 100.0), record("channel", 0, 100.0)])
    assert {bar.figure for bar in (*BARS, *VLLM_BARS)} <= summary["figures"]["channel 32"].keys()
