"""Values that a simulation gives as one number, or as several that are equally likely."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def draw(samples: float | Sequence[float], rng: random.Random) -> float:
    return samples if isinstance(samples, (int, float)) else rng.choice(samples)


def draw_many(
    samples: float | Sequence[float], num: int, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """(num,) float64."""
    if isinstance(samples, (int, float)):
        return np.full(num, float(samples))
    return rng.choice(np.asarray(samples, dtype=np.float64), num)
