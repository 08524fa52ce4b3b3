"""`manta bench validate`: the simulator against real local replicas with mock engines."""

from __future__ import annotations

from pathlib import Path

import click

from benchmarks.application import started
from benchmarks.results_folder import new_folder
from benchmarks.simulate.tables import accuracy_table
from benchmarks.simulate.validation.session import PROFILE, WORKLOADS, Names, Session
from configs.load import read_profile, read_workload
from manta.commands.bench.options import out_option
from manta.console import err
from manta.console import out as console


@click.command("validate")
@click.argument("workloads", type=click.Path(path_type=Path), nargs=-1)
@click.option(
    "--profile",
    type=click.Path(path_type=Path),
    default=PROFILE,
    help="Mock models to run them on.  [default: the simulator's own]",
)
@click.option(
    "--model",
    "models",
    multiple=True,
    default=("fixed", "scaled"),
    show_default=True,
    help="Model of the profile that each workload runs on.",
)
@click.option("--single", default="single", show_default=True, help="Model with one replica, to calibrate.")
@click.option("--asleep", default="asleep", show_default=True, help="Model that scales to zero.")
@click.option(
    "--calibration",
    type=click.Path(path_type=Path, exists=True),
    default=None,
    help="calibration.json of an earlier validation, instead of measuring again.",
)
@out_option
def command(
    workloads: tuple[Path, ...],
    profile: Path,
    models: tuple[str, ...],
    single: str,
    asleep: str,
    calibration: Path | None,
    out: Path,
) -> int:
    """Run WORKLOADS (YAML files; without any, a bursty one) for real and in the simulator; print the errors.

    Calibrates first, on closed loops of its own. Exit code: 0 within the limits, 1 not, 2 it could
    not be measured.
    """
    return run(workloads, profile, models, Names(single, asleep), calibration, out)


def run(
    workloads: tuple[Path, ...],
    profile: Path,
    models: tuple[str, ...],
    names: Names,
    calibration: Path | None,
    parent: Path,
) -> int:
    asked = [read_workload(path) for path in workloads or (WORKLOADS / "bursty.yaml",)]
    chosen = read_profile(profile)
    folder = new_folder(parent, "validation")
    with started(profile) as application:
        session = Session(chosen.platform, application.url, folder, names, say=err.print)
        if calibration is None:
            session.calibrate()
        else:
            session.use(calibration)
        for workload in asked:
            for model in models:
                validation = session.validate(workload, model)
                console.print(accuracy_table(validation))
    session.write_summary()
    err.print(f"raw records: {folder}", markup=False)
    return 0 if session.is_met else 1
