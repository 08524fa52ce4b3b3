"""A run's figures: all metrics, the right window, failures included, and the same again from JSON."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.metrics.catalogue import REQUEST_METRICS, RUN_METRICS
from benchmarks.records import ClientSample, Outcome, Record
from benchmarks.statistics.histogram import Histogram
from benchmarks.summary.summarise import Summary, summarise
from configs.workload import Workload

S = 10**9
MS = 10**6


def answers(
    num: int = 3000, duration_s: float = 30.0, entry: str = "chat", ttft_ms: float = 50.0
) -> list[Record]:
    rng = np.random.default_rng(11)
    records = []
    for index in range(num):
        due_ns = round(index * duration_s / num * S)
        first_ns = due_ns + round(ttft_ms * MS * rng.lognormal(0.0, 0.5))
        gaps_us = [round(gap) for gap in rng.uniform(9_000, 11_000, 9)]
        records.append(
            Record(
                index=index,
                entry=entry,
                worker=0,
                outcome=Outcome.OK,
                intended_ns=due_ns,
                sent_ns=due_ns,
                first_token_ns=first_ns,
                last_token_ns=first_ns + sum(gaps_us) * 1000,
                end_ns=first_ns + sum(gaps_us) * 1000 + 1000,
                is_stream=True,
                gaps_us=gaps_us,
                num_pieces=10,
                num_prompt_tokens=100,
                num_output_tokens=10,
            )
        )
    return records


def samples(until_s: int = 32) -> list[ClientSample]:
    return [
        ClientSample(
            worker=0,
            at_s=float(second),
            num_sent=100,
            num_ended=100,
            num_in_flight=15,
            num_connections=15,
            cpu=0.2,
            cpu_wait=0.0,
            lag_max_ms=0.2,
            lag_p50_ms=0.02,
            lag_p99_ms=0.1,
        )
        for second in range(1, until_s + 1)
    ]


def delay(record: Record, by_ns: int) -> None:
    """The whole answer comes so much later."""
    assert record.first_token_ns is not None
    assert record.last_token_ns is not None
    record.first_token_ns += by_ns
    record.last_token_ns += by_ns
    record.end_ns += by_ns


def summed(records: list[Record], **options: Any) -> Summary:
    fields = {"warm_up_s": 0} | options.pop("workload", {})
    settings: dict[str, Any] = {"arrivals_end_s": 30.0, "is_closed_loop": False}
    return summarise(records, samples(), Workload.model_validate(fields), **settings | options)


def exact(values: list[float], percentile: float) -> float:
    return sorted(values)[math.ceil(percentile * len(values) / 100) - 1]


def test_percentiles_are_those_of_the_records() -> None:
    records = answers()
    summary = summed(records)
    ttft = [((record.first_token_ns or 0) - record.intended_ns) / 1e6 for record in records]
    for name, percentile in (("p50", 50), ("p90", 90), ("p95", 95), ("p99", 99)):
        assert summary.percentile("ttft", name) == pytest.approx(exact(ttft, percentile), rel=1.1e-3)
    assert summary.percentile("ttft", "p99.9") is None, "3,000 requests do not resolve it"
    assert summary.percentile("itl", "p99.9") is not None, "27,000 gaps do"
    found = summary.overall.of_requests["ttft"]
    assert (found.num, found.num_without_value) == (3000, 0)
    assert found.mean == pytest.approx(np.mean(ttft))
    assert found.max == pytest.approx(max(ttft))
    assert found.unit == "ms"
    assert found.formula


def test_every_metric_is_there_and_plausible() -> None:
    summary = summed(answers())
    assert set(summary.overall.of_run) == {metric.name for metric in RUN_METRICS}
    assert set(summary.overall.of_requests) == {metric.name for metric in REQUEST_METRICS} - {
        "connect_time",
        "output_length_error",
    }
    assert summary.value("offered_rate") == pytest.approx(100.0)
    assert summary.value("completed_rate") == pytest.approx(100.0, rel=0.02)
    assert summary.value("output_throughput") == pytest.approx(1000.0, rel=0.02)
    assert summary.value("total_throughput") == pytest.approx(11_000.0, rel=0.02)
    assert summary.value("goodput") is None
    assert summary.value("error_rate") == 0.0
    assert summary.overall.outcomes == {"ok": 3000}


def test_failures_rank_above_everything_and_are_told() -> None:
    records = answers()
    for record in records[::20]:
        record.outcome, record.first_token_ns, record.gaps_us, record.num_pieces = Outcome.RESET, None, [], 0
        record.last_token_ns = record.num_output_tokens = record.num_prompt_tokens = None
    summary = summed(records)
    found = summary.overall.of_requests["ttft"]
    assert (found.num, found.num_without_value) == (2850, 150)
    assert found.percentiles["p99"] is None
    assert found.percentiles_of_values_alone["p99"] is not None
    assert found.percentiles["p90"] is not None
    assert found.percentiles_of_values_alone["p90"] is not None
    assert found.percentiles["p90"] > found.percentiles_of_values_alone["p90"]
    assert summary.overall.outcomes == {"ok": 2850, "reset": 150}
    assert summary.value("error_rate") == pytest.approx(0.05)


def test_a_stall_shows_in_full() -> None:
    """A server stopped for 3 s of 30: everybody who came then waited for the rest of it."""
    records = answers(ttft_ms=5.0)
    for record in records:
        waits_ns = 13 * S - record.intended_ns
        if 0 < waits_ns <= 3 * S:
            delay(record, waits_ns)
    truth = [((record.first_token_ns or 0) - record.intended_ns) / 1e6 for record in records]
    summary = summed(records, workload={"warm_up_s": "auto"})
    assert summary.window.start_s == 0.0
    assert summary.percentile("ttft", "p95") == pytest.approx(exact(truth, 95), rel=0.002)
    assert (summary.percentile("ttft", "p95") or 0) > 1000
    assert not summary.saturation.is_saturated


def test_the_warm_up_is_left_out() -> None:
    records = answers(duration_s=30.0)
    for record in records[:500]:
        delay(record, S)
    with_it = summed(records)
    without = summed(records, workload={"warm_up_s": "auto"})
    assert without.window.start_s == pytest.approx(5.0, abs=1.0)
    assert (with_it.percentile("ttft", "p90") or 0) > 1000
    assert (without.percentile("ttft", "p90") or 0) < 200
    assert without.overall.num_requests == pytest.approx(2500, abs=100)


MIX = {"requests": [{"kind": "chat", "name": "short"}, {"kind": "chat", "name": "long"}]}


def test_entries_have_figures_of_their_own_and_merge_into_the_whole() -> None:
    both = answers(1000, entry="short", ttft_ms=10.0) + answers(1000, entry="long", ttft_ms=500.0)
    for index, record in enumerate(both):
        record.index = index
    summary = summed(both, workload=MIX)
    whole = [((record.first_token_ns or 0) - record.intended_ns) / 1e6 for record in both]
    assert (summary.percentile("ttft", "p99", "short") or 0) < 60
    assert (summary.percentile("ttft", "p50", "long") or 0) > 400
    assert summary.percentile("ttft", "p95") == pytest.approx(exact(whole, 95), rel=1.1e-3)
    assert summary.overall.num_requests == 2000
    assert summary.value("offered_rate") == pytest.approx(2 * (summary.value("offered_rate", "long") or 0))
    of_parts = [summary.value("output_throughput", entry) or 0 for entry in ("short", "long")]
    assert summary.value("output_throughput") == pytest.approx(sum(of_parts))


def test_an_entry_that_nobody_asked_is_there_with_nothing() -> None:
    summary = summed(answers(entry="short"), workload=MIX)
    assert summary.entries["long"].num_requests == 0
    assert summary.entries["long"].of_requests == {}
    assert summary.value("offered_rate", "long") == 0.0


def test_objectives_are_judged() -> None:
    good = summed(answers(), workload={"objectives": {"ttft_ms": 200, "tpot_ms": 20}})
    assert good.objectives is not None
    assert good.objectives.limits_ms == {"ttft": 200, "tpot": 20}
    assert good.objectives_met is True
    assert good.objectives.goodput_rps == pytest.approx(100 * (good.objectives.attainment or 0), rel=1e-4)
    bad = summed(answers(), workload={"objectives": {"ttft_ms": 50}})
    assert bad.objectives is not None
    assert bad.objectives.attainment == pytest.approx(0.5, abs=0.05)
    assert bad.objectives_met is False
    assert summed(answers()).objectives_met is None


def test_a_closed_loop_has_no_headline_latencies() -> None:
    summary = summed(
        answers(), is_closed_loop=True, workload={"arrivals": {"process": "closed", "concurrency": 15}}
    )
    assert not summary.latencies_are_headline
    assert summary.saturation.is_saturated is None


def test_a_run_without_token_times_says_nothing_of_gaps() -> None:
    records = answers()
    for record in records:
        record.gaps_us = []
    records[5].outcome, records[5].num_pieces = Outcome.TRUNCATED, 1
    summary = summed(records)
    assert "itl" not in summary.overall.of_requests
    assert summary.percentile("itl", "p50") is None
    assert summary.percentile("tpot", "p50") == pytest.approx(10.0, rel=0.01)


def test_json_is_plain_and_comes_back() -> None:
    summary = summed(answers(), workload={"objectives": {"ttft_ms": 100}}, faults=["worker 3 ended with -9"])
    text = json.dumps(summary.to_json(), allow_nan=False)
    assert Summary.from_json(json.loads(text)) == summary
    assert not summary.certification.is_valid


def test_histograms_of_runs_can_be_merged() -> None:
    one, two = summed(answers(ttft_ms=20.0)), summed(answers(ttft_ms=80.0))
    merged = Histogram.merged(Histogram.decode(run.histograms["ttft"]) for run in (one, two))
    assert merged.num == 6000
    half = merged.percentile(50)
    assert half is not None
    assert (one.percentile("ttft", "p50") or 0) < half < (two.percentile("ttft", "p50") or 0)


@pytest.mark.parametrize("records", [[], answers(3)], ids=["none", "three"])
def test_next_to_nothing_is_summed_up_all_the_same(records: list[Record]) -> None:
    summary = summed(records, workload={"warm_up_s": "auto", "objectives": {"ttft_ms": 100}})
    assert summary.overall.num_requests == len(records)
    assert summary.percentile("ttft", "p99") is None
    json.dumps(summary.to_json(), allow_nan=False)


def test_only_failures_are_summed_up() -> None:
    records = answers(200)
    for record in records:
        record.outcome, record.first_token_ns, record.last_token_ns = Outcome.CONNECT, None, None
        record.sent_ns, record.gaps_us, record.num_pieces = None, [], 0
        record.num_output_tokens = record.num_prompt_tokens = None
    summary = summed(records, workload={"warm_up_s": "auto", "objectives": {"ttft_ms": 100}})
    assert summary.overall.of_requests["ttft"].num_without_value == 200
    assert summary.percentile("ttft", "p50") is None
    assert summary.objectives_met is False
    assert summary.value("completed_rate") == 0.0
    assert summary.value("output_throughput") is None


def test_records_that_contradict_themselves_are_named() -> None:
    records = answers(10)
    records[3].last_token_ns = 0
    with pytest.raises(BenchmarkError, match="tpot"):
        summed(records)


def test_a_run_of_an_instant_has_no_rates() -> None:
    summary = summed([], arrivals_end_s=0.0)
    assert summary.value("offered_rate") is None
