from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.records import Record
from benchmarks.simulate.calibration.fit import calibrate
from benchmarks.simulate.requests import Arrivals
from benchmarks.simulate.simulation import simulate
from configs.simulation import ServiceModel, Stack

TRUTH = ServiceModel(
    overhead_ms=(4.0, 5.0, 6.0, 12.0),
    step_ms=30,
    step_us_per_running=700,
    prefill_us_per_token=40,
    max_batched_tokens=512,
    max_running=8,
)


def closed_loop(concurrency: int, seed: int, lengths: tuple[int, int] = (8, 1500)) -> Sequence[Record]:
    """A closed loop on one replica that behaves as TRUTH."""
    rng = np.random.default_rng(seed)
    num = 60 * concurrency
    at_s = np.where(np.arange(num) < concurrency, 0.0, np.nan)
    coming = iter(range(concurrency, num))

    def follow(_: int, end_s: float) -> tuple[int, float] | None:
        index = next(coming, None)
        return None if index is None else (index, end_s)

    arrivals = Arrivals(at_s, rng.integers(*lengths, num), rng.integers(5, 40, num), 1.0, follow=follow)
    stack = Stack(service=TRUTH, replica_start_s=1.0)
    # With the seed of the lengths, overheads would depend on them.
    return simulate(arrivals, stack, seed=seed + 1000, timeout_s=1000.0).records


def test_it_finds_the_model_that_made_the_times() -> None:
    together = [closed_loop(concurrency, concurrency, (8, 500)) for concurrency in (2, 4, 8)]
    made = calibrate(closed_loop(1, seed=1), together, max_batched_tokens=512, max_running=8)
    service = made.service
    assert service.step_ms == pytest.approx(30, rel=0.01)
    assert service.step_us_per_running == pytest.approx(700, rel=0.05)
    assert service.prefill_us_per_token == pytest.approx(40, rel=0.03)
    assert isinstance(service.overhead_ms, tuple)
    assert np.mean(service.overhead_ms) == pytest.approx(6.75, abs=0.5)
    assert np.quantile(service.overhead_ms, 0.95) == pytest.approx(12, abs=1.2)
    assert all(before <= after for before, after in pairwise(service.overhead_ms))
    assert abs(made.fit.tpot_residual_mean_share) < 0.01
    assert made.fit.tpot_residual_p50_ms < 1


def test_too_few_requests_are_told() -> None:
    with pytest.raises(BenchmarkError, match="needs 20 requests that were alone, not 5"):
        calibrate(closed_loop(1, seed=1)[:5], [], max_batched_tokens=512, max_running=8)


def test_prompts_of_one_length_are_told() -> None:
    same = closed_loop(1, seed=1, lengths=(100, 101))
    with pytest.raises(BenchmarkError, match="prompts of several lengths"):
        calibrate(same, [], max_batched_tokens=512, max_running=8)
