from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.metrics.itl import ITL
from benchmarks.metrics.ttft import TTFT
from benchmarks.records import Outcome, Record
from benchmarks.report.timeline import (
    MAX_BINS,
    Bins,
    Series,
    at_quantiles,
    bins_for,
    in_flight,
    ranked_values,
    sampled,
    series_of,
    tokens_by_bin,
)


def stream(at_s: float, ttft_ms: float | None, gaps_us: list[int] | None = None) -> Record:
    at_ns = round(at_s * 1e9)
    gaps = gaps_us or []
    record = Record(0, "chat", 0, Outcome.OK, at_ns, at_ns + 10**9, is_stream=True, sent_ns=at_ns)
    if ttft_ms is None:
        record.outcome = Outcome.TIMEOUT
        return record
    record.first_token_ns = at_ns + round(ttft_ms * 1e6)
    record.last_token_ns = record.first_token_ns + sum(gaps) * 1000
    record.gaps_us, record.num_pieces = gaps, len(gaps) + 1
    return record


def test_a_request_that_failed_is_infinitely_slow_and_keeps_its_moment() -> None:
    series = series_of(TTFT, [stream(2.0, None), stream(1.0, 40.0)])
    assert series.at_s.tolist() == [1.0, 2.0]
    assert series.values.tolist() == [pytest.approx(40.0), math.inf]
    assert series.num_missing == 1


def test_a_broken_stream_adds_the_gap_that_never_ended() -> None:
    broken = stream(0.0, 10.0, [1000, 2000])
    broken.outcome = Outcome.TRUNCATED
    assert ranked_values(ITL, [broken]).tolist() == [1.0, 2.0, math.inf]


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=300), st.floats(0, 0.9999))
def test_quantiles_are_nearest_ranks(values: list[float], quantile: float) -> None:
    ranked = np.sort(np.array(values))
    found = float(at_quantiles(ranked, np.array([quantile]))[0])
    assert found in ranked
    assert (ranked <= found).mean() >= quantile - 1e-9
    assert (ranked < found).mean() <= quantile + 1e-9


def test_bins_take_percentiles_of_all_that_arrived_in_them() -> None:
    series = Series(np.array([0.1, 0.2, 0.9, 2.5]), np.array([5.0, math.inf, 3.0, 7.0]))
    found = Bins(1.0, np.array([0.0, 1.0, 2.0, 3.0])).quantiles(series, [0.5, 1.0])
    assert found[0].tolist() == [5.0, pytest.approx(math.nan, nan_ok=True), 7.0]
    assert found[1][0] == math.inf


@given(st.floats(0.1, 86_400), st.one_of(st.none(), st.integers(1, 10**6)))
def test_bins_cover_the_run_and_are_never_too_many(span_s: float, num_events: int | None) -> None:
    bins = bins_for(span_s, num_events)
    assert bins.edges[0] == 0
    assert bins.edges[-1] >= span_s - 1e-6
    assert bins.edges[-2] <= max(span_s, 1.0)
    assert 1 <= len(bins.edges) - 1 <= MAX_BINS
    assert bins.width_s >= 1


def test_few_requests_make_wide_bins() -> None:
    assert bins_for(60, 6000).width_s == 1
    assert bins_for(60, 60).width_s == 5


def test_rates_leave_out_what_hardly_began() -> None:
    bins = Bins(2.0, np.array([0.0, 2.0, 4.0, 6.0]))
    rates = bins.rates(np.array([0.5, 1.0, 2.5, 4.1]), end_s=4.2)
    assert rates[:2].tolist() == [1.0, 0.5]
    assert math.isnan(rates[2])
    assert bins.rates(np.array([2.5]), end_s=3.0)[1] == 1.0  # one in the one second that there was


def test_requests_in_flight_have_begun_and_not_ended() -> None:
    starts, ends = np.array([1.0, 2.0, 3.0]), np.array([2.5, 9.0, 3.5])
    assert in_flight(starts, ends, np.array([0.0, 2.0, 3.0, 5.0, 9.0])).tolist() == [0, 2, 2, 1, 0]


@given(st.lists(st.tuples(st.floats(0, 9), st.lists(st.integers(0, 10**5), max_size=5)), max_size=20))
def test_no_piece_of_text_is_lost_or_counted_twice(answers: list[tuple[float, list[int]]]) -> None:
    records = [stream(at_s, 10.0, gaps) for at_s, gaps in answers]
    bins = Bins(1.0, np.arange(13, dtype=np.float64))
    assert tokens_by_bin(records, bins).sum() == pytest.approx(sum(record.num_pieces for record in records))


def test_samples_are_bounded_and_keep_the_slowest() -> None:
    rng = np.random.default_rng(1)
    values = rng.lognormal(4, 0.5, 20_000)
    values[::100] = math.inf
    series = Series(np.arange(20_000) / 100, values)
    shown = sampled(series, 1000)
    assert len(shown) == len(set(shown.tolist())) <= 1000
    assert np.isfinite(values[shown]).all()
    slowest = np.argsort(np.where(np.isfinite(values), values, 0))[-100:]
    assert set(slowest.tolist()) <= set(shown.tolist())
    assert np.diff(shown).max() < 400  # evenly over the run


def test_few_requests_are_all_shown() -> None:
    series = Series(np.array([0.0, 1.0, 2.0]), np.array([3.0, math.inf, 1.0]))
    assert sampled(series, 10).tolist() == [0, 2]
