"""In which order the two sides are measured, and with which seeds: drawn before the first run.

Pairs come in blocks of two with opposite orders (A B, B A or B A, A B), which of the two first is chance:
a drift of the machine is cancelled within a block, and the signs of the differences are random, which is
what the signed-rank test stands on. Both runs of a pair have the same schedule; no two pairs have.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from configs.workload import Workload

SideName = Literal["a", "b"]
WARM_UP_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class PlannedPair:
    """Two runs one after the other.

    Args:
        index: 0 is the warm-up pair, whose figures nobody uses.
        seed: of the workload in both runs.
    """

    index: int
    seed: int
    order: tuple[SideName, SideName]


def plan_pairs(seed: int) -> Iterator[PlannedPair]:
    """Endless; the same for the same seed."""
    rng = np.random.default_rng(np.random.SeedSequence((seed, 0)))
    index = 0
    order: tuple[SideName, SideName] = ("a", "b")
    while True:
        # The warm-up pair stands alone, so that blocks begin with the first pair that counts.
        if index == 0 or index % 2 == 1:
            order = ("a", "b") if rng.integers(2) else ("b", "a")
        else:
            order = (order[1], order[0])
        yield PlannedPair(index, derived_seed(seed, index), order)
        index += 1


def derived_seed(seed: int, index: int) -> int:
    return int(np.random.SeedSequence((seed, 1, index)).generate_state(1)[0])


def workload_of(pair: PlannedPair, workload: Workload, duration_s: float) -> Workload:
    """The workload of both runs of a pair: one seed, and a fixed warm-up.

    A slope test would end the warm-up of the two at different times, and so add its own noise.
    """
    warm_up_s = workload.warm_up_s if workload.warm_up_s != "auto" else WARM_UP_SHARE * duration_s
    return workload.model_copy(update={"seed": pair.seed, "duration_s": duration_s, "warm_up_s": warm_up_s})
