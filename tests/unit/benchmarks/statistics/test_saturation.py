"""Over-saturation is found soon and on nothing less: simulated queues with fixed seeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import pytest

from benchmarks.records import ClientSample, Outcome, Record
from benchmarks.statistics.saturation import (
    saturation,
    saturation_of_records,
    saturation_of_samples,
)

Queue = Callable[..., list[Record]]
SEEDS = range(8)


def in_flight(records: Sequence[Record], end_s: float) -> list[tuple[float, float]]:
    arrivals = np.array([record.intended_ns for record in records]) / 1e9
    ends = np.sort([record.end_ns for record in records]) / 1e9
    return [
        (float(at_s), float((arrivals <= at_s).sum() - np.searchsorted(ends, at_s)))
        for at_s in np.arange(0.0, end_s + 0.5)
    ]


def found_at(records: Sequence[Record], end_s: float, settle_s: float, rate_rps: float) -> float | None:
    """When somebody who asks every second would have stopped."""
    series = in_flight(records, end_s)
    for count in range(2, len(series) + 1):
        if saturation(series[:count], offered_rps=rate_rps, settle_s=settle_s).is_saturated:
            return series[count - 1][0]
    return None


def samples_of(records: Sequence[Record], until_s: int, num_workers: int = 2) -> list[ClientSample]:
    """What workers would have said in each second."""
    samples = []
    for worker in range(num_workers):
        own = [record for record in records if record.index % num_workers == worker]
        for second in range(1, until_s + 1):
            now_ns, before_ns = second * 10**9, (second - 1) * 10**9
            ended = [record for record in own if before_ns <= record.end_ns < now_ns]
            first = [r for r in own if r.first_token_ns and before_ns <= r.first_token_ns < now_ns]
            samples.append(
                ClientSample(
                    worker=worker,
                    at_s=second + 0.01 * worker,
                    num_sent=sum(before_ns <= record.intended_ns < now_ns for record in own),
                    num_ended=len(ended),
                    num_in_flight=sum(record.intended_ns < now_ns <= record.end_ns for record in own),
                    num_connections=1,
                    cpu=0.1,
                    cpu_wait=0.0,
                    lag_max_ms=0.0,
                    lag_p50_ms=0.0,
                    lag_p99_ms=0.0,
                    num_outcomes=dict(Counter(str(record.outcome) for record in ended)),
                    ttft_ms=[((r.first_token_ns or 0) - r.intended_ns) / 1e6 for r in first],
                )
            )
    return sorted(samples, key=lambda sample: sample.at_s)


@pytest.mark.parametrize(("rho", "rate_rps"), [(0.7, 10.0), (0.7, 100.0), (0.9, 100.0), (0.95, 100.0)])
def test_a_stable_queue_raises_no_alarm(queue: Queue, rho: float, rate_rps: float) -> None:
    for seed in SEEDS:
        records = queue(rho=rho, seed=seed, rate_rps=rate_rps, duration_s=60.0)
        assert saturation_of_records(records, 60.0).is_saturated is False
        assert found_at(records, 60.0, 3.0, rate_rps) is None, "asking every second is as quiet"


@pytest.mark.parametrize("rho", [1.3, 2.0, 4.0, 10.0])
def test_overload_is_found(queue: Queue, rho: float) -> None:
    for seed in SEEDS:
        records = queue(rho=rho, seed=seed)
        verdict = saturation_of_records(records, 30.0)
        assert verdict.is_saturated
        if verdict.growth_rps is not None:
            assert verdict.growth_rps == pytest.approx(100 * (1 - 1 / rho), rel=0.35)
        stop_s = found_at(records, 30.0, 3.0, 100.0)
        assert stop_s is not None
        assert stop_s <= 20


def test_a_tenth_too_much_is_found_within_half_a_minute_mostly(queue: Queue) -> None:
    many = [queue(rho=1.1, seed=seed, rate_rps=200.0) for seed in SEEDS]
    assert sum(saturation_of_records(records, 30.0).is_saturated is True for records in many) >= 7
    stops_s = [found_at(records, 30.0, 2.0, 200.0) for records in many]
    assert np.median([stop_s or 99.0 for stop_s in stops_s]) <= 20


@pytest.mark.parametrize("at_s", [2.0, 10.0, 16.0, 20.0, 26.0])
@pytest.mark.parametrize("rho", [0.7, 0.9])
def test_a_single_stall_is_no_overload(queue: Queue, at_s: float, rho: float) -> None:
    for seed in SEEDS:
        assert not saturation_of_records(queue(rho=rho, seed=seed, stall=(at_s, 3.0)), 30.0).is_saturated


@pytest.mark.parametrize("service", ["constant", "exponential", "lognormal"])
def test_long_answers_are_no_overload(queue: Queue, service: str) -> None:
    """Answers of 10 s in the mean: the number in flight grows for half a minute and more, and all is well."""
    for seed in range(5):
        records = queue(rho=0.5, seed=seed, rate_rps=20.0, num_servers=400, duration_s=60.0, service=service)
        assert not saturation_of_records(records, 60.0).is_saturated


def test_requests_longer_than_the_run_leave_it_open(queue: Queue) -> None:
    records = queue(rho=0.5, seed=1, rate_rps=20.0, num_servers=1000, service="constant")
    verdict = saturation_of_records(records, 30.0)
    assert verdict.is_saturated is None
    assert "too long" in verdict.reason


def test_shedding_is_overload_with_a_level_number_in_flight(queue: Queue) -> None:
    for seed in range(5):
        verdict = saturation_of_records(queue(rho=1.5, seed=seed, timeout_s=1.0), 30.0)
        assert verdict.is_saturated
        assert "time out" in verdict.reason


def test_a_stall_with_time_outs_is_no_shedding(queue: Queue) -> None:
    records = queue(rho=0.5, seed=1, stall=(10.0, 3.0), timeout_s=1.0)
    assert any(record.outcome is Outcome.TIMEOUT for record in records)
    assert not saturation_of_records(records, 30.0).is_saturated


def test_nothing_and_too_little_are_not_judged() -> None:
    assert saturation_of_records([], 30.0).is_saturated is None
    assert saturation([], offered_rps=1.0, settle_s=0.0).is_saturated is None
    assert saturation([(0.0, 1.0), (1.0, 5.0)], offered_rps=1.0, settle_s=0.0).is_saturated is None
    assert saturation_of_samples([], offered_rps=1.0).is_saturated is None


def test_the_workers_samples_show_it_while_the_run_goes_on(queue: Queue) -> None:
    for seed in range(5):
        over = queue(rho=1.5, seed=seed)
        stable = queue(rho=0.7, seed=seed)
        for settle_s in (None, 2.0):
            found = saturation_of_samples(samples_of(over, 22), offered_rps=100.0, settle_s=settle_s)
            assert found.is_saturated
            for until_s in (10, 16, 22, 28):
                quiet = saturation_of_samples(
                    samples_of(stable, until_s), offered_rps=100.0, settle_s=settle_s
                )
                assert not quiet.is_saturated


def test_seconds_that_a_worker_has_not_told_of_yet_do_not_count(queue: Queue) -> None:
    samples = samples_of(queue(rho=0.7, seed=1), 20)
    until_18 = [sample for sample in samples if sample.at_s < 18.5]
    slow_worker = [sample for sample in samples if sample.worker == 0 or sample.at_s < 18.5]
    verdicts = [
        saturation_of_samples(some, offered_rps=100.0, settle_s=2.0) for some in (until_18, slow_worker)
    ]
    assert verdicts[0].growth_rps is not None
    assert verdicts[0] == verdicts[1]


def test_long_answers_do_not_stop_a_run_that_nobody_knows(queue: Queue) -> None:
    """Without `settle_s`, in-flight growth alone is no reason: first tokens come as fast as ever."""
    records = queue(rho=0.5, seed=1, rate_rps=50.0, num_servers=1000, duration_s=40.0)
    growing = [
        saturation_of_samples(samples_of(records, until_s), offered_rps=50.0) for until_s in (18, 24, 30, 36)
    ]
    assert not any(verdict.is_saturated for verdict in growing)


def test_refusals_show_at_once(queue: Queue) -> None:
    refused = [
        msgspec.structs.replace(record, outcome=Outcome.REFUSED, first_token_ns=None)
        if record.index % 4 == 0
        else record
        for record in queue(rho=0.5, seed=1)
    ]
    verdict = saturation_of_samples(samples_of(refused, 5), offered_rps=100.0)
    assert verdict.is_saturated
    assert "refused" in verdict.reason
