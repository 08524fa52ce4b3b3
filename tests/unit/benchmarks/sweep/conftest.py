"""A simulated server: c places, first come first served, exponential service times, and bad moments."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.statistics.saturation import saturation
from benchmarks.sweep.points import Point
from configs.workload import PoissonArrivals, Workload


class QueueServer:
    """M/M/c. It is sustained below c / mean_s; its objective is a bound on the time until the answer."""

    def __init__(self, num_places: int, mean_s: float, objective_s: float, *, bad_runs: float = 0.0) -> None:
        self.capacity_rps = num_places / mean_s
        self.rates: list[float] = []
        self._num_places = num_places
        self._mean_s = mean_s
        self._objective_s = objective_s
        self._bad_runs = bad_runs

    def __call__(self, workload: Workload, folder: Path) -> Point:
        assert isinstance(workload.arrivals, PoissonArrivals)
        assert workload.duration_s is not None
        rng = np.random.default_rng(workload.seed)
        rate, end_s = workload.arrivals.rate_rps, workload.duration_s
        self.rates.append(rate)
        # A neighbour takes half of the machine.
        mean_s = self._mean_s * (2.0 if rng.random() < self._bad_runs else 1.0)
        arrivals = np.cumsum(rng.exponential(1 / rate, int(rate * end_s * 1.5) + 50))
        arrivals = arrivals[arrivals < end_s]
        ends = self._serve(arrivals, rng.exponential(mean_s, len(arrivals)))
        grid = np.arange(1.0, end_s)
        in_flight = np.searchsorted(arrivals, grid) - np.searchsorted(np.sort(ends), grid)
        verdict = saturation(
            list(zip(grid.tolist(), in_flight.tolist(), strict=True)), offered_rps=rate, settle_s=5 * mean_s
        )
        return Point(
            rate_rps=rate,
            num_requests=len(arrivals),
            num_errors=0,
            is_saturated=verdict.is_saturated,
            attainment=float(np.mean(ends - arrivals <= self._objective_s)),
            objective=0.95,
            goodput_rps=float(np.sum(ends - arrivals <= self._objective_s)) / end_s,
            folder=folder.name,
        )

    def _serve(self, arrivals: np.ndarray, service: np.ndarray) -> np.ndarray:
        free = [0.0] * self._num_places
        ends = np.empty(len(arrivals))
        for index, (arrival, needs) in enumerate(zip(arrivals, service, strict=True)):
            ends[index] = max(arrival, heapq.heappop(free)) + needs
            heapq.heappush(free, ends[index])
        return ends


@pytest.fixture
def queue_server() -> Callable[..., QueueServer]:
    return QueueServer
