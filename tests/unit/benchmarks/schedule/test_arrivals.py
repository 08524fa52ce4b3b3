from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.errors import BenchmarkError
from benchmarks.schedule.arrivals import OpenLoop, Seconds, arrivals
from configs.workload import (
    ConstantArrivals,
    GammaArrivals,
    PoissonArrivals,
    RampArrivals,
    StepArrivals,
)

rates = st.floats(0.5, 200)
spacings = st.sampled_from(["constant", "poisson"])
processes = st.one_of(
    st.builds(ConstantArrivals, process=st.just("constant"), rate_rps=rates),
    st.builds(PoissonArrivals, process=st.just("poisson"), rate_rps=rates),
    st.builds(GammaArrivals, process=st.just("gamma"), rate_rps=rates, burstiness=st.floats(0.1, 100)),
    st.builds(RampArrivals, process=st.just("ramp"), from_rps=rates, to_rps=rates, spacing=spacings),
    st.builds(
        StepArrivals,
        process=st.just("step"),
        rates_rps=st.lists(st.one_of(st.just(0.0), rates), min_size=1, max_size=6).filter(any).map(tuple),
        spacing=spacings,
    ),
)


def draw(process: OpenLoop, duration_s: float, seed: int = 1) -> Seconds:
    return arrivals(process, duration_s, np.random.default_rng(seed))


def poisson(rate_rps: float) -> PoissonArrivals:
    return PoissonArrivals(process="poisson", rate_rps=rate_rps)


@given(process=processes, duration_s=st.floats(30, 100), seed=st.integers(0, 2**40))
def test_arrivals_are_in_order_and_inside_the_run(process: OpenLoop, duration_s: float, seed: int) -> None:
    at_s = draw(process, duration_s, seed)
    assert at_s.dtype == np.float64
    assert at_s[0] >= 0
    assert at_s[-1] < duration_s
    assert np.all(np.diff(at_s) >= 0)


@given(process=processes, seed=st.integers(0, 2**40))
def test_the_same_seed_draws_the_same_bits(process: OpenLoop, seed: int) -> None:
    assert draw(process, 30.0, seed).tobytes() == draw(process, 30.0, seed).tobytes()


@pytest.mark.parametrize(
    "process", [poisson(50), GammaArrivals(process="gamma", rate_rps=50, burstiness=0.3)]
)
def test_a_longer_run_begins_with_the_shorter_one(process: OpenLoop) -> None:
    short, long = draw(process, 20.0), draw(process, 2000.0)
    assert np.array_equal(short, long[: len(short)])
    assert long[len(short)] >= 20.0


def test_constant_arrivals_are_multiples_of_the_pause() -> None:
    at_s = draw(ConstantArrivals(process="constant", rate_rps=4), 2.5)
    assert at_s.tolist() == [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2.25]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("burstiness", [0.1, 0.25, 1.0, 4.0, 100.0])
def test_gamma_pauses_have_the_rate_and_the_burstiness(burstiness: float, seed: int) -> None:
    num = 40_000
    at_s = draw(GammaArrivals(process="gamma", rate_rps=20, burstiness=burstiness), num / 20, seed)
    # The count of a renewal process varies by its pauses' squared coefficient of variation; it begins
    # with a whole pause, so its mean is (1 / burstiness - 1) / 2 higher.
    assert abs(len(at_s) - num - (1 / burstiness - 1) / 2) < 4 * math.sqrt(num / burstiness)
    gaps = np.diff(at_s, prepend=0.0)
    assert np.std(gaps) / np.mean(gaps) == pytest.approx(1 / math.sqrt(burstiness), rel=0.05)


@pytest.mark.parametrize("seed", range(5))
def test_poisson_counts_vary_as_much_as_their_mean(seed: int) -> None:
    at_s = draw(poisson(100), 400.0, seed)
    counts = np.bincount(at_s.astype(int), minlength=400)
    assert abs(len(at_s) - 40_000) < 4 * math.sqrt(40_000)
    assert np.var(counts) / np.mean(counts) == pytest.approx(1.0, abs=4 * math.sqrt(2 / 400))


@pytest.mark.parametrize(("from_rps", "to_rps"), [(0.0, 200.0), (200.0, 0.0), (50.0, 150.0), (100.0, 100.0)])
def test_a_ramp_of_constant_spacing_sends_request_k_when_k_are_due(from_rps: float, to_rps: float) -> None:
    at_s = draw(RampArrivals(process="ramp", from_rps=from_rps, to_rps=to_rps, spacing="constant"), 60.0)
    due = from_rps * at_s + (to_rps - from_rps) * at_s**2 / 120.0
    assert len(at_s) == 6000
    assert due == pytest.approx(np.arange(6000), abs=1e-6)


@pytest.mark.parametrize(("from_rps", "to_rps"), [(0.0, 200.0), (200.0, 0.0), (50.0, 150.0), (100.0, 100.0)])
def test_a_ramp_is_poisson_of_its_rate_at_every_moment(from_rps: float, to_rps: float) -> None:
    at_s = draw(RampArrivals(process="ramp", from_rps=from_rps, to_rps=to_rps), 400.0)
    edges = np.linspace(0, 400, 9)
    for start, end in pairwise(edges):
        expected = (end - start) * (from_rps + (to_rps - from_rps) * (start + end) / 800)
        got = np.count_nonzero((at_s >= start) & (at_s < end))
        assert abs(got - expected) < 4 * math.sqrt(expected)
    # Seen by the cumulative rate, the gaps of an exact non-homogeneous process are exponential of mean 1.
    gaps = np.diff(from_rps * at_s + (to_rps - from_rps) * at_s**2 / 800)
    assert np.mean(gaps) == pytest.approx(1, abs=4 / math.sqrt(len(gaps)))
    assert np.std(gaps) == pytest.approx(1, abs=6 / math.sqrt(len(gaps)))


def test_steps_have_their_rates_and_a_pause_has_nothing() -> None:
    at_s = draw(StepArrivals(process="step", rates_rps=(100, 0, 400, 0), spacing="constant"), 40.0)
    assert np.bincount((at_s / 10).astype(int), minlength=4).tolist() == [1000, 0, 4000, 0]
    at_s = draw(StepArrivals(process="step", rates_rps=(100, 0, 400, 0)), 40.0)
    first, pause, second, end = np.bincount((at_s / 10).astype(int), minlength=4)
    assert pause == end == 0
    assert abs(first - 1000) < 4 * math.sqrt(1000)
    assert abs(second - 4000) < 4 * math.sqrt(4000)


def test_a_request_that_falls_on_a_pause_comes_after_it() -> None:
    at_s = draw(StepArrivals(process="step", rates_rps=(1, 0, 1), spacing="constant"), 9.0)
    assert at_s.tolist() == [0, 1, 2, 6, 7, 8]


def test_a_rate_that_means_too_many_requests_is_refused() -> None:
    with pytest.raises(BenchmarkError, match="about 3,600,000,000 requests; at most 5,000,000"):
        draw(poisson(1_000_000), 3600.0)


def test_bursts_without_bound_are_refused() -> None:
    with pytest.raises(BenchmarkError, match="raise burstiness"):
        draw(GammaArrivals(process="gamma", rate_rps=1, burstiness=1e-12), 10.0)


def test_a_run_without_a_request_is_refused() -> None:
    with pytest.raises(BenchmarkError, match=r"drew no request \(0\.001 expected\)"):
        draw(poisson(0.001), 1.0)
