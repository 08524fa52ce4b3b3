"""`manta bench simulate`: a simulation and its variants against a model of the stack."""

from __future__ import annotations

from pathlib import Path

import click
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.results_folder import new_folder
from benchmarks.simulate.tables import what_if_table
from benchmarks.simulate.what_if import Stage, compare_stacks
from configs.load import parse_workload, read_simulation
from manta.commands.bench.options import out_option
from manta.console import err
from manta.console import out as console


@click.command("simulate")
@click.argument("simulation", type=click.Path(path_type=Path))
@click.option(
    "--trace",
    type=click.Path(path_type=Path),
    default=None,
    help="Where the workload's trace is, instead of where its file says.",
)
@click.option(
    "--records/--no-records",
    "keep_records",
    default=True,
    help="Keep every simulated request: a million of them take 300 MB.  [default: keep]",
)
@out_option
def command(simulation: Path, trace: Path | None, *, keep_records: bool, out: Path) -> int:
    """Simulate SIMULATION (a YAML file) and its variants: replicas, objectives and cost, before any cluster.

    docs/simulator.md says what is modelled and how far it was from real runs.
    """
    return run(simulation, trace, out, keep_records=keep_records)


def run(path: Path, trace: Path | None, parent: Path, *, keep_records: bool) -> int:
    read = read_simulation(path)
    workload = read.workload
    if trace is not None:
        document = workload.model_dump(mode="json", exclude_unset=True)
        document["arrivals"] = {**document.get("arrivals", {}), "process": "trace", "path": str(trace)}
        workload = parse_workload(document)
    folder = new_folder(parent, read.simulation.name)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        tasks = {name: progress.add_task(name, total=None) for name in read.stacks}

        def show(stage: Stage) -> None:
            progress.update(tasks[stage.name], completed=stage.at_s, total=stage.duration_s)

        rows = compare_stacks(
            workload,
            read.stacks,
            folder,
            {"simulation": read.simulation.name},
            show,
            keep_records=keep_records,
        )
    console.print(what_if_table(rows))
    took_s = sum(row.took_s for row in rows)
    err.print(f"simulated in {took_s:.1f} s; raw results: {folder}", markup=False)
    return 0
