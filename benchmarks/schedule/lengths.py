"""Lengths from their distributions: whole numbers, each inside its range.

Knows nothing of what they are lengths of: tokens of a prompt, of an answer, turns of a session.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from benchmarks.errors import BenchmarkError
from configs.workload import Length, LognormalLength, NormalLength, UniformLength

Lengths = npt.NDArray[np.int64]

# Draws that one length may cost on average. A range that is hit more rarely is a mistake in the workload:
# what comes out of it no longer looks like the distribution that was asked for.
MAX_DRAWS_PER_LENGTH = 1000
_FREE_DRAWS = 10_000  # so that a few lengths with bad luck are no error


def sample(length: Length, num: int, rng: np.random.Generator, what: str = "length") -> Lengths:
    """(num,) int64, each in the distribution's range.

    Normal and lognormal values are rounded to the nearest whole number and drawn again while they are
    outside low..high (a truncated distribution, not a clipped one: no heap at the limits).

    Args:
        what: names the setting in errors.

    Raises:
        BenchmarkError: fewer than one draw in MAX_DRAWS_PER_LENGTH falls into the range.
    """
    if isinstance(length, int):
        return np.full(num, length, dtype=np.int64)
    if isinstance(length, UniformLength):
        return rng.integers(length.low, length.high, size=num, endpoint=True, dtype=np.int64)
    return _drawn_again(_drawer(length, rng), length, num, what)


def _drawer(
    length: NormalLength | LognormalLength, rng: np.random.Generator
) -> Callable[[int], npt.NDArray[np.float64]]:
    if isinstance(length, NormalLength):
        mean, std = length.mean, length.std
        return lambda num: rng.normal(mean, std, num)
    # The median of a lognormal distribution is e to the mean of its logarithm.
    mean_of_log, sigma = np.log(length.median), length.sigma
    return lambda num: rng.lognormal(mean_of_log, sigma, num)


def _drawn_again(
    draw: Callable[[int], npt.NDArray[np.float64]],
    length: NormalLength | LognormalLength,
    num: int,
    what: str,
) -> Lengths:
    lengths = np.zeros(num, dtype=np.int64)
    missing = np.arange(num)
    draws_left = num * MAX_DRAWS_PER_LENGTH + _FREE_DRAWS
    while len(missing):
        draws_left -= len(missing)
        if draws_left < 0:
            raise BenchmarkError(
                f"{what}: fewer than 1 in {MAX_DRAWS_PER_LENGTH} draws of {length.distribution} falls "
                f"between low {length.low} and high {length.high}; widen the range or narrow the distribution"
            )
        # Values beyond int64 (sigma is unbounded) are out of any range, and so is NaN.
        values = np.rint(draw(len(missing)))
        fits = (values >= length.low) & (values <= length.high)
        lengths[missing[fits]] = values[fits].astype(np.int64)
        missing = missing[~fits]
    return lengths
