"""What is asked, how often and by whom. Pure: knows nothing of servers or folders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from configs.workload import ChatRequest, LoadRequest, Objectives, PoissonArrivals, UniformLength, Workload

PRIORITY_HEADER = "x-manta-priority"
PROMPT_TOKENS = 32
OUTPUT_TOKENS = UniformLength(distribution="uniform", low=16, high=48)
WARM_UP_SHARE = 0.2  # of a run: the queue fills, and the server learns how fast it is


@dataclass(frozen=True, slots=True)
class Dials:
    """How the experiment is made.

    Args:
        multiples: of the capacity, for the first table.
        mixed_multiples: likewise, for the second, in which a part of the requests is batch.
        batch_share: of the requests of the second table.
        duration_s: of each run's arrivals.
        timeout_s: a request is given up so long after its arrival.
        repetitions: of every run, each round in turn.
    """

    multiples: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0, 3.0)
    mixed_multiples: tuple[float, ...] = (1.2, 3.0)
    batch_share: float = 0.3
    duration_s: float = 40.0
    timeout_s: float = 30.0
    repetitions: int = 2
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Part:
    """The requests of one kind of caller in a run.

    Args:
        name: "all", "interactive" or "batch".
        priority: what its requests say; None: nothing.
    """

    name: str
    share: float
    priority: str | None = None

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        return () if self.priority is None else ((PRIORITY_HEADER, self.priority),)


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """One open-loop run at a multiple of the capacity.

    Args:
        kind: "plain": nobody says a priority. "mixed": a part of the requests says batch. "unmarked": the same
            requests, and none says it, to see what saying it changes.
    """

    index: int
    kind: str
    multiple: float
    repetition: int
    parts: tuple[Part, ...]

    @property
    def name(self) -> str:
        return f"{self.index:02}-{self.kind}-{self.multiple:g}x"


def planned_runs(dials: Dials) -> Iterator[PlannedRun]:
    """Every run once, then every run again: a change of the machine meets all of them."""
    index = 0
    rest = 1.0 - dials.batch_share
    mixes = {
        "mixed": (Part("interactive", rest), Part("batch", dials.batch_share, "batch")),
        "unmarked": (Part("interactive", rest), Part("batch", dials.batch_share)),
    }
    for repetition in range(dials.repetitions):
        for multiple in dials.multiples:
            index += 1
            yield PlannedRun(index, "plain", multiple, repetition, (Part("all", 1.0),))
        for multiple in dials.mixed_multiples:
            for kind, parts in mixes.items():
                index += 1
                yield PlannedRun(index, kind, multiple, repetition, parts)


def request() -> LoadRequest:
    return ChatRequest(kind="chat", prompt_tokens=PROMPT_TOKENS, output_tokens=OUTPUT_TOKENS)


def workload_of(
    run: PlannedRun, part: Part, capacity_rps: float, objectives: Objectives, dials: Dials
) -> Workload:
    """The workload of a part of a run. Runs of the same mix ask the same at the same moments, marked or not."""
    seeds = (dials.seed, run.repetition, round(1000 * run.multiple), round(1000 * part.share))
    return Workload(
        name=f"{run.name}-{part.name}",
        seed=int(np.random.SeedSequence(seeds).generate_state(1)[0]),
        duration_s=dials.duration_s,
        arrivals=PoissonArrivals(process="poisson", rate_rps=capacity_rps * run.multiple * part.share),
        requests=(request(),),
        warm_up_s=WARM_UP_SHARE * dials.duration_s,
        timeout_s=dials.timeout_s,
        objectives=objectives,
    )
