"""The same requests for real and simulated, and the error of every figure.

Real runs go to local replicas with mock engines, which batch as the model says; so this judges what is
around the engine: queues, routing, autoscaling, delays, and the calibration. Nothing is fitted to the
workloads that it is judged by.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.errors import BenchmarkError
from benchmarks.results_folder import write_json
from benchmarks.run.execute import RunOptions, execute
from benchmarks.run.folder import write_lines
from benchmarks.run.prepare import prepare
from benchmarks.run.progress import Progress
from benchmarks.simulate.arrivals import arrivals_of
from benchmarks.simulate.simulation import Simulated, simulate
from benchmarks.simulate.validation.accuracy import Accuracy, accuracy_of
from benchmarks.simulate.validation.neighbours import Neighbours
from benchmarks.summary.summarise import Summary, summarise
from benchmarks.target import Target
from configs.schema import ScalingConfig
from configs.simulation import Stack
from configs.workload import ClosedLoop, Workload

NUM_SIMULATIONS = 9
SETTLE_MARGIN_S = 5.0


class Validation(msgspec.Struct, frozen=True):
    """One workload against one deployment.

    Args:
        foreign_cores: used by processes that were no part of the run, in the mean.
        max_replicas: of the simulation with the first seed.
    """

    workload: str
    model: str
    num_requests: int
    accuracies: tuple[Accuracy, ...]
    foreign_cores: float
    max_replicas: int

    @property
    def is_met(self) -> bool:
        """Whether every judged figure is within its limit."""
        return all(accuracy.is_met is not False for accuracy in self.accuracies)


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployment under test: how to ask it, and what the simulator knows of it."""

    target: Target
    stack: Stack


def validate(
    workload: Workload,
    deployment: Deployment,
    folder: Path,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Validation:
    """Run the workload for real (into `folder`/real) and simulated (`folder`/simulated), and compare.

    Raises:
        BenchmarkError: it cannot be run or simulated, or was interrupted.
    """
    neighbours = Neighbours()

    def watch(progress: Progress) -> None:
        neighbours.look()
        on_progress(progress)

    prepared = prepare(workload, deployment.target)
    run = execute(
        workload,
        prepared,
        folder / "real",
        RunOptions(num_workers=1, keep_token_times=False, on_progress=watch),
    )
    if run.was_interrupted:
        raise BenchmarkError("the validation was interrupted")
    foreign_cores = neighbours.cores()
    arrivals = arrivals_of(workload)
    simulations = [
        simulate(arrivals, deployment.stack, seed=seed, timeout_s=workload.timeout_s)
        for seed in range(1, NUM_SIMULATIONS + 1)
    ]
    summaries = [_summary(simulated, workload, arrivals.duration_s) for simulated in simulations]
    _write(folder / "simulated", simulations[0], deployment.stack)
    validation = Validation(
        workload=workload.name,
        model=deployment.target.model,
        num_requests=len(arrivals),
        accuracies=accuracy_of(run.summary, summaries),
        foreign_cores=foreign_cores,
        max_replicas=simulations[0].max_replicas,
    )
    write_json(folder / "validation.json", msgspec.to_builtins(validation))
    return validation


def settle(scaling: ScalingConfig) -> None:
    """Wait until an idle deployment is back at its fewest replicas, so that a run begins with those."""
    if scaling.min_replicas != scaling.max_replicas:
        autoscaler = scaling.autoscaler
        time.sleep(
            autoscaler.look_back_period_s
            + autoscaler.metrics_interval_s
            + autoscaler.downscale_delay_s
            + SETTLE_MARGIN_S
        )


def all_met(validations: Sequence[Validation]) -> bool:
    return all(validation.is_met for validation in validations)


def _summary(simulated: Simulated, workload: Workload, arrivals_end_s: float) -> Summary:
    return summarise(
        simulated.records,
        None,
        workload,
        arrivals_end_s=arrivals_end_s,
        is_closed_loop=isinstance(workload.arrivals, ClosedLoop),
    )


def _write(folder: Path, simulated: Simulated, stack: Stack) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "stack.json", stack.model_dump(mode="json"))
    write_lines(folder / "records.jsonl", simulated.records)
    write_lines(folder / "series.jsonl", simulated.samples)
