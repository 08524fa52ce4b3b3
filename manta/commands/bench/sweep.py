"""`manta bench sweep`: the highest rate that a server sustains, and its goodput at the objectives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from benchmarks.report.page import write_report, write_sweep_report
from benchmarks.results_folder import machine, new_folder
from benchmarks.run.execute import Prepared, RunOptions, execute
from benchmarks.run.live import LiveView
from benchmarks.run.prepare import prepare
from benchmarks.sweep.measure import DURATION_S, RunRate, SweepSettings, measure, rate_of
from benchmarks.sweep.of_run import point_of, stop_when_saturated
from benchmarks.sweep.points import Point
from benchmarks.sweep.report import report_of
from benchmarks.sweep.search import SearchSettings
from benchmarks.sweep.text import state, sweep_text
from configs.workload import Workload
from manta.commands.bench.asked import asked_options, asked_workload
from manta.commands.bench.options import out_option, target_of, target_options, workers_option
from manta.console import err, out

_POSITIVE = click.FloatRange(min=0, min_open=True)


@click.command("sweep")
@click.argument("workload", type=click.Path(path_type=Path), required=False)
@target_options
@click.option(
    "--start", "start_rps", type=_POSITIVE, default=None, help="First rate.  [default: the workload's, or 10]"
)
@click.option("--rates", default=None, metavar="R1,R2,...", help="Run these rates instead of searching.")
@click.option(
    "--precision",
    type=click.FloatRange(0.005, 1),
    default=0.05,
    show_default=True,
    help="How close limits are looked for: 0.05 is 5 %.",
)
@click.option(
    "--max-rate", "max_rps", type=_POSITIVE, default=100_000.0, help="Rates above it are not tried."
)
@click.option(
    "--max-runs", type=click.IntRange(1, 1000), default=40, show_default=True, help="At most so many."
)
@click.option(
    "--duration",
    "duration_s",
    type=_POSITIVE,
    default=DURATION_S,
    show_default=True,
    help="Seconds of each run; slow rates get up to four times as many.",
)
@click.option(
    "--min-requests",
    type=click.IntRange(1),
    default=SweepSettings().min_requests,
    show_default=True,
    help="For which slow rates run longer.",
)
@click.option(
    "--pause",
    "pause_s",
    type=click.FloatRange(0, 3600),
    default=2.0,
    show_default=True,
    help="Seconds between runs.",
)
@asked_options
@workers_option
@out_option
def command(workload: Path | None, **options: Any) -> int:
    """Find the highest rate that a server sustains with WORKLOAD (a YAML file), and its goodput.

    The rate doubles until the server falls behind; then the limit is narrowed down, and after it the highest
    rate at which the objectives are attained. A rate fails only when two runs of it do.
    Exit code: 0 measured, 1 no rate attains the objectives, 2 it could not be measured, 3 the client was the
    limit, 130 interrupted.
    """
    chosen = asked_workload(workload, options, options["start_rps"], "sweep")
    settings = settings_of(chosen, options)
    target = target_of(
        options["url"], options["model"], options["api_key_env"], options["headers"], options["ca_file"]
    )
    with err.status("asking the server what it serves"):
        prepared = prepare(chosen, target, options["tokenizer"])
    folder = new_folder(options["out"], chosen.name)
    sweep = measure(chosen, _run_rate(prepared, options["num_workers"]), folder, settings, on_point=_tell)
    said = {"target": {"url": prepared.target.url, "model": prepared.target.model}, "machine": machine()}
    path = write_sweep_report(folder, report_of(sweep, chosen.name, said, chosen))
    out.print(sweep_text(sweep))
    err.print(f"report: {path}", markup=False)
    return sweep.exit_code


def settings_of(workload: Workload, flags: dict[str, Any]) -> SweepSettings:
    """How to sweep, from the flags and what the workload says."""
    limits = workload.objectives
    return SweepSettings(
        search=SearchSettings(
            start_rps=min(rate_of(workload), flags["max_rps"]),
            precision=flags["precision"],
            max_rps=flags["max_rps"],
            max_runs=flags["max_runs"],
            has_objectives=any(
                limit is not None for limit in (limits.ttft_ms, limits.tpot_ms, limits.e2e_ms)
            ),
        ),
        rates_rps=_rates(flags["rates"]) if flags["rates"] is not None else (),
        duration_s=flags["duration_s"],
        min_requests=flags["min_requests"],
        pause_s=flags["pause_s"],
    )


def _rates(text: str) -> tuple[float, ...]:
    try:
        rates = tuple(float(part) for part in text.split(","))
    except ValueError:
        rates = ()
    if not rates or not all(0 < rate <= 1_000_000 for rate in rates):
        raise click.BadParameter(f"{text!r} is not a list of rates such as 10,20,50", param_hint="--rates")
    return rates


def _run_rate(prepared: Prepared, num_workers: int | None) -> RunRate:
    def run_rate(asked: Workload, folder: Path) -> Point:
        rate_rps = rate_of(asked)
        with LiveView(f"{rate_rps:g} requests/s") as view:
            options = RunOptions(
                num_workers=num_workers, on_progress=view.show, stop_when=stop_when_saturated(rate_rps)
            )
            run = execute(asked, prepared, folder, options)
        write_report(run)
        return point_of(run, rate_rps)

    return run_rate


def _tell(point: Point) -> None:
    err.print(f"{point.rate_rps:g} requests/s: {state(point)}", markup=False)
