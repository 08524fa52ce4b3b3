"""Noise as shared machines make it: runs in time, and their differences in randomly ordered pairs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

Array = np.ndarray[Any, np.dtype[np.float64]]
Noise = Callable[[np.random.Generator, int, int], Array]


def normal(rng: np.random.Generator, num: int, runs: int) -> Array:
    return rng.normal(0, 0.04, (num, runs))


def heavy_tails(rng: np.random.Generator, num: int, runs: int) -> Array:
    return 0.04 * rng.standard_t(3, (num, runs))


def bursts(rng: np.random.Generator, num: int, runs: int) -> Array:
    """Every tenth run shares its cores with somebody else."""
    hit = rng.random((num, runs)) < 0.1
    return normal(rng, num, runs) + hit * rng.exponential(0.4, (num, runs))


def drift(rng: np.random.Generator, num: int, runs: int) -> Array:
    return normal(rng, num, runs) + np.linspace(0, 1, runs) * rng.normal(0, 0.5, (num, 1))


def wandering(rng: np.random.Generator, num: int, runs: int) -> Array:
    """Neighbours in time are alike."""
    level = rng.normal(0, 0.1, num)
    noise = normal(rng, num, runs) / 2
    for run in range(runs):
        level = 0.9 * level + rng.normal(0, 0.1 * np.sqrt(1 - 0.81), num)
        noise[:, run] += level
    return noise


def two_modes(rng: np.random.Generator, num: int, runs: int) -> Array:
    """A run is fast or slow as a whole, by where its threads landed."""
    return rng.normal(0, 0.01, (num, runs)) + 0.1 * (rng.random((num, runs)) < 0.5)


KINDS: dict[str, Noise] = {
    function.__name__: function for function in (normal, heavy_tails, bursts, drift, wandering, two_modes)
}


@pytest.fixture(params=sorted(KINDS))
def noise_kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def noisy_differences() -> Callable[[str, int, int], Array]:
    """(kind, how many comparisons, pairs) -> differences of a server with itself, (comparisons, pairs)."""

    def drawn(kind: str, num: int, pairs: int) -> Array:
        rng = np.random.default_rng(20_260_101)
        in_time = KINDS[kind](rng, num, 2 * pairs)
        second_is_b = np.empty((num, pairs))
        second_is_b[:, 0::2] = rng.choice((-1.0, 1.0), (num, (pairs + 1) // 2))
        second_is_b[:, 1::2] = -second_is_b[:, 0::2][:, : pairs // 2]
        return second_is_b * (in_time[:, 1::2] - in_time[:, 0::2])

    return drawn
