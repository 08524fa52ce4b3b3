"""A comparison in interleaved pairs: runs one after the other, as planned, until enough pairs count.

A pair in which the client itself was not up to it is repeated with another seed, not believed. What was
measured is in the folder after every pair: `compare.json` and one folder a run.

Knows nothing of how a run is made; that is the caller's `run_side`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.compare.comparison import Comparison, Pair
from benchmarks.compare.conclude import compare_pairs
from benchmarks.compare.decide import Levels
from benchmarks.compare.document import write_document
from benchmarks.compare.figures import RunFigures, figure_named, primary_of
from benchmarks.compare.paired import fewest_pairs, smallest_p_value
from benchmarks.compare.plan import PlannedPair, SideName, derived_seed, plan_pairs, workload_of
from benchmarks.errors import BenchmarkError
from configs.workload import Workload

# One run of a side, into a folder that is not there yet.
RunSide = Callable[[SideName, Workload, Path], RunFigures]

# Twelve pairs of 15 s: the fewest (even) in which each of eight figures can be shown at 1 % in all.
NUM_PAIRS = 12
DURATION_S = 15.0


@dataclass(frozen=True, slots=True)
class PairSettings:
    """How pairs are measured.

    Args:
        num_pairs: that count; the warm-up pair is one more.
        duration_s: of each run's arrivals.
        pause_s: between two runs, so that the server comes to rest.
        primary: name of the figure that decides; None: the first that the workload has.
    """

    num_pairs: int = NUM_PAIRS
    duration_s: float = DURATION_S
    pause_s: float = 1.0
    primary: str | None = None
    levels: Levels = field(default_factory=Levels)

    @property
    def max_pairs(self) -> int:
        """With those that are repeated."""
        return self.num_pairs + (self.num_pairs + 1) // 2

    def check(self) -> None:
        """Raises BenchmarkError when no result could ever show a difference, or the figure does not exist."""
        if smallest_p_value(self.num_pairs) > self.levels.alpha:
            raise BenchmarkError(
                f"{self.num_pairs} pairs can never show a difference at alpha {self.levels.alpha:g}: at least "
                f"{fewest_pairs(self.levels.alpha)} are needed"
            )
        if self.primary is not None:
            figure_named(self.primary)


def measure(
    workload: Workload,
    names: tuple[str, str],
    run_side: RunSide,
    folder: Path,
    settings: PairSettings | None = None,
    *,
    notes: Sequence[str] = (),
    sleep: Callable[[float], None] = time.sleep,
    on_pair: Callable[[Pair, int], None] | None = None,
) -> Comparison:
    """Measure B against A and write `folder`/compare.json. Ctrl-C ends it early and keeps whole pairs.

    Args:
        names: how a reader tells A and B apart.
        notes: what a reader should know of them, one line each.
        on_pair: told of each pair, with the number of those that count so far.

    Raises:
        BenchmarkError: the settings can show nothing, or a run could not be made.
    """
    settings = settings or PairSettings()
    settings.check()
    folder.mkdir(parents=True, exist_ok=True)
    pairs: list[Pair] = []
    stopped_because: str | None = None
    for planned in plan_pairs(workload.seed):
        num_counting = _num_counting(pairs, settings)
        if num_counting == settings.num_pairs or planned.index > settings.max_pairs:
            break
        pair = _measure_pair(planned, workload, run_side, folder, settings, sleep)
        if pair is None:
            stopped_because = f"interrupted after {num_counting} of {settings.num_pairs} pairs"
            break
        if planned.index == 0:
            continue
        pairs.append(pair)
        write_document(folder, _compared(pairs, names, workload, settings, notes, "still running"))
        if on_pair is not None:
            on_pair(pair, _num_counting(pairs, settings))
    comparison = _compared(pairs, names, workload, settings, notes, stopped_because)
    write_document(folder, comparison)
    return comparison


def _measure_pair(
    planned: PlannedPair,
    workload: Workload,
    run_side: RunSide,
    folder: Path,
    settings: PairSettings,
    sleep: Callable[[float], None],
) -> Pair | None:
    """Both runs; None: interrupted."""
    asked = workload_of(planned, workload, settings.duration_s)
    figures: dict[SideName, RunFigures] = {}
    for side in planned.order:
        name = f"pair-{planned.index:02}-{side}" if planned.index else f"warm-up-{side}"
        try:
            figures[side] = run_side(side, asked, folder / name)
            if figures[side].was_interrupted:
                return None
            sleep(settings.pause_s)
        except KeyboardInterrupt:
            return None
    return Pair(planned, figures["a"], figures["b"])


def _num_counting(pairs: list[Pair], settings: PairSettings) -> int:
    primary = primary_of((run for pair in pairs for run in (pair.a, pair.b)), settings.primary)
    return sum(not pair.problems_with(primary) for pair in pairs)


def _compared(
    pairs: list[Pair],
    names: tuple[str, str],
    workload: Workload,
    settings: PairSettings,
    notes: Sequence[str],
    stopped_because: str | None,
) -> Comparison:
    num_counting = _num_counting(pairs, settings)
    shortage = None
    if stopped_because is None and num_counting < settings.num_pairs:
        shortage = (
            f"only {num_counting} of {settings.num_pairs} pairs count after {len(pairs)} attempts: the client "
            "could not measure the others honestly"
        )
    rng = np.random.default_rng(derived_seed(workload.seed, -1 % 2**32))
    return compare_pairs(
        pairs,
        names,
        settings.levels,
        rng,
        primary=settings.primary,
        notes=notes,
        stopped_because=stopped_because,
        shortage=shortage,
    )
