"""A simulation and its variants: simulated one after the other, each as a folder like a run's, and as a row.

A variant's folder has what a run's has (run.json, records.jsonl, client.jsonl without lines, summary.json),
so that reports read it, and series.jsonl: how the stack stood over time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.results_folder import machine, write_json
from benchmarks.run.folder import write_lines
from benchmarks.simulate.arrivals import arrivals_of
from benchmarks.simulate.costs import SECONDS_PER_HOUR, Costs, costs_of
from benchmarks.simulate.prices import usd_per_hour
from benchmarks.simulate.requests import Arrivals
from benchmarks.simulate.simulation import Simulated, simulate
from benchmarks.summary.summarise import Summary, summarise
from configs.simulation import Stack
from configs.workload import ClosedLoop, Workload


class Row(msgspec.Struct, frozen=True):
    """One stack in the table.

    Args:
        mean_replicas: that took requests, over time.
        replica_hours: of all replicas, from when they were asked for until their places were free again.
        num_ups, num_downs: decisions for more and for fewer replicas.
        num_turns: of these, those that went the other way than the one before.
        max_nodes, costs: None without nodes.
        attainment: share of the requests that met the objectives; None: the workload has none.
        latencies_ms: metric ("ttft", "e2e", "tpot") -> its percentiles; None where so many failed.
        took_s: seconds that the simulation took.
    """

    name: str
    num_requests: int
    outcomes: dict[str, int]
    min_replicas: int
    mean_replicas: float
    max_replicas: int
    replica_hours: float
    num_ups: int
    num_downs: int
    num_turns: int
    max_nodes: int | None
    costs: Costs | None
    attainment: float | None
    output_tokens_per_s: float | None
    latencies_ms: dict[str, dict[str, float | None]]
    took_s: float


@dataclass(frozen=True, slots=True)
class Stage:
    """What is simulated now, for whoever watches."""

    name: str
    at_s: float
    duration_s: float


def compare_stacks(
    workload: Workload,
    stacks: Mapping[str, Stack],
    folder: Path,
    settings: Mapping[str, object],
    on_progress: Callable[[Stage], None] = lambda _: None,
    *,
    keep_records: bool = True,
) -> list[Row]:
    """Simulate the workload against each stack; returns a row of each, and writes `folder`.

    Args:
        stacks: name -> stack.
        settings: what else a reader of the results should know.
        keep_records: write every request; without it a folder has only what was made of them.

    Raises:
        BenchmarkError: the workload or a price is not one that can be simulated.
    """
    arrivals = arrivals_of(workload)
    for stack in stacks.values():
        if stack.nodes is not None:  # an unknown price is told before minutes are spent
            usd_per_hour(stack.nodes.instance, stack.nodes.usd_per_hour)
    rows = []
    for name, stack in stacks.items():
        duration_s = arrivals.duration_s / stack.rate_factor

        def watch(at_s: float, name: str = name, duration_s: float = duration_s) -> None:
            on_progress(Stage(name, at_s, duration_s))

        began = time.perf_counter()
        simulated = simulate(
            arrivals, stack, seed=workload.seed, timeout_s=workload.timeout_s, on_progress=watch
        )
        took_s = time.perf_counter() - began
        if keep_records:
            (folder / name).mkdir(parents=True, exist_ok=True)
            write_lines(folder / name / "records.jsonl", simulated.records)
        summary = _write(folder / name, workload, stack, arrivals, simulated, settings)
        rows.append(_row(name, stack, simulated, summary, took_s))
    write_json(folder / "simulation.json", {"settings": dict(settings), "rows": msgspec.to_builtins(rows)})
    return rows


def _write(
    folder: Path,
    workload: Workload,
    stack: Stack,
    arrivals: Arrivals,
    simulated: Simulated,
    settings: Mapping[str, object],
) -> Summary:
    folder.mkdir(parents=True, exist_ok=True)
    arrivals_end_s = arrivals.duration_s / stack.rate_factor
    write_json(
        folder / "run.json",
        {
            "time_utc": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "is_simulated": True,
            **settings,
            "stack": stack.model_dump(mode="json", exclude_unset=True),
            "workload": workload.model_dump(mode="json", exclude_unset=True),
            "machine": machine(),
            "stopped_because": None,
            "faults": [],
            "arrivals_end_s": arrivals_end_s,
        },
    )
    write_lines(folder / "client.jsonl", ())
    write_lines(folder / "series.jsonl", simulated.samples)
    summary = summarise(
        simulated.records,
        None,
        workload,
        arrivals_end_s=arrivals_end_s,
        is_closed_loop=isinstance(workload.arrivals, ClosedLoop),
    )
    write_json(folder / "summary.json", summary.to_json())
    return summary


def _row(name: str, stack: Stack, simulated: Simulated, summary: Summary, took_s: float) -> Row:
    overall = summary.overall
    return Row(
        name=name,
        num_requests=overall.num_requests,
        outcomes=overall.outcomes,
        min_replicas=simulated.min_replicas,
        mean_replicas=simulated.replica_seconds / simulated.end_s,
        max_replicas=simulated.max_replicas,
        replica_hours=simulated.held_replica_seconds / SECONDS_PER_HOUR,
        num_ups=simulated.num_ups,
        num_downs=simulated.num_downs,
        num_turns=simulated.num_turns,
        max_nodes=simulated.max_nodes if stack.nodes is not None else None,
        costs=costs_of(simulated, stack),
        attainment=None if summary.objectives is None else summary.objectives.attainment,
        output_tokens_per_s=summary.value("output_throughput"),
        latencies_ms={
            metric: {level: summary.percentile(metric, level) for level in ("p50", "p95", "p99")}
            for metric in ("ttft", "e2e", "tpot")
        },
        took_s=took_s,
    )
